WITH log AS (
    UPDATE latchwork_logs SET head = head + cardinality($4::bytea[])
    WHERE name = $1 AND identity::text = $2 AND head = $3
    RETURNING id, head
), appended AS (
    INSERT INTO latchwork_events (log, number, event)
    SELECT log.id, $3 + new.place, new.event FROM log, unnest($4::bytea[]) WITH ORDINALITY AS new (event, place)
), outcome AS (
    SELECT (SELECT head FROM log) AS head
)
SELECT head, pg_notify($5, concat_ws(' ', $6::text, head)) FROM outcome
