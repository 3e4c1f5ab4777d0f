//! What a server's word is worth that says what a stream is.
//!
//! Two kinds of servers say less than there is, and mean no harm by it. One that **knows no leader** of the stream answers for
//! itself, with what it has: it is cut off, or an election goes on, or its replica cannot catch up. It may do so for ever while
//! the others go on, and a client that is connected to it hears it before the leader. Such an answer does not count:
//! [`speaks_for_it`]. And a leader that was **deposed** and has not heard of it yet answers as a leader does: [`has_gone_back`].

use std::fmt::Write;
use std::time::{Duration, Instant};

use async_nats::jetstream::stream::ClusterInfo;

/// How long a leader that stood still may take to learn that it is none any more.
const DEPOSED: Duration = Duration::from_millis(2500);

/// How recently a majority must have answered a leader that is one. They are asked every two seconds at least. It is less than
/// the above, so that they have answered after that one was first doubted: those who have elected another one since would
/// have told it so.
const HEARD: Duration = Duration::from_millis(2200);

/// Whether the server that says this leads the stream, as far as it knows. One that does names itself, and the others beside.
pub(crate) fn speaks_for_it(cluster: Option<&ClusterInfo>) -> bool {
    let Some(cluster) = cluster else { return true };
    let leader = cluster.leader.as_deref().unwrap_or_default();
    !leader.is_empty() && cluster.replicas.iter().all(|replica| replica.name != leader)
}

/// Since when a stream is said to end before what is known, and by which leader.
#[derive(Debug)]
pub(crate) struct Doubt {
    since: Instant,
    leader: Option<String>,
}

/// Whether a stream has gone back that is said to end before what is known. If it may not have, says why.
///
/// Without a cluster it has. In one, its leader must say so for longer than one may take that was deposed, and a majority must
/// have answered it lately. Whether they have all that it has does not count: one that catches up answers, too.
pub(crate) fn has_gone_back(
    doubt: &mut Option<Doubt>,
    cluster: Option<&ClusterInfo>,
    now: Instant,
) -> Result<(), String> {
    let Some(cluster) = cluster.filter(|cluster| !cluster.replicas.is_empty()) else { return Ok(()) };
    if doubt.as_ref().is_none_or(|doubt| doubt.leader != cluster.leader) {
        *doubt = Some(Doubt { since: now, leader: cluster.leader.clone() });
    }
    let lasted = doubt.as_ref().map_or(Duration::ZERO, |doubt| now.saturating_duration_since(doubt.since));
    // What has never answered was last active at no time.
    let answered = |active: Duration| !active.is_zero();
    let heard = cluster.replicas.iter().filter(|one| answered(one.active) && one.active < HEARD).count();
    if 2 * (heard + 1) > cluster.replicas.len() + 1 && lasted >= DEPOSED {
        return Ok(());
    }
    let leader = cluster.leader.as_deref().unwrap_or_default();
    let mut why = format!("its leader {leader} says so for {lasted:.1?}, and was last answered");
    for (index, one) in cluster.replicas.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        let _infallible = match one.active {
            active if answered(active) => write!(why, "{comma} by {} {active:.1?} ago", one.name),
            _ => write!(why, "{comma} by {} never", one.name),
        };
    }
    Err(why)
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::stream::PeerInfo;

    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// What `n0` says that has last been answered so long ago by others.
    fn cluster(active: &[u64]) -> ClusterInfo {
        let replica = |(index, active): (usize, &u64)| PeerInfo {
            name: format!("n{}", index + 1),
            active: MS(*active),
            ..PeerInfo::default()
        };
        let replicas = active.iter().enumerate().map(replica).collect();
        ClusterInfo { leader: Some("n0".to_owned()), replicas, ..ClusterInfo::default() }
    }

    #[test]
    fn speaks_for_it_who_says_that_it_leads() {
        let leader = cluster(&[10, 20]);
        assert!(speaks_for_it(Some(&leader)));
        assert!(speaks_for_it(Some(&cluster(&[]))), "it is the only replica");
        assert!(speaks_for_it(None), "it is the only server");
        for other in [Some("n2"), Some(""), None] {
            let follower = ClusterInfo { leader: other.map(str::to_owned), ..leader.clone() };
            assert!(!speaks_for_it(Some(&follower)), "it knows {other:?} for the leader");
        }
    }

    /// Whether a leader is believed that says the same at both times, with what it says of the others at the second.
    fn believed(first: u64, second: u64, active: &[u64]) -> bool {
        let (begun, mut doubt) = (Instant::now(), None);
        let healthy = cluster(&vec![100; active.len()]);
        let at_once = has_gone_back(&mut doubt, Some(&healthy), begun + MS(first));
        assert!(at_once.is_err(), "it may have stood still");
        has_gone_back(&mut doubt, Some(&cluster(active)), begun + MS(second)).is_ok()
    }

    #[test]
    fn has_gone_back_believes_a_leader_that_says_it_for_a_while_and_was_answered_by_a_majority() {
        assert!(believed(0, 2_500, &[100, 100]));
        assert!(!believed(0, 2_499, &[100, 100]), "it may not know yet that it was deposed");
        assert!(believed(0, 2_500, &[100, 60_000]), "two of three are a majority");
        assert!(believed(0, 2_500, &[2_100, 0]), "they are asked every two seconds");
        assert!(!believed(0, 2_500, &[2_200, 60_000]), "both may have left it for another one");
        assert!(!believed(0, 60_000, &[0, 0]), "none has ever answered");
        assert!(believed(0, 2_500, &[100, 100, 9_000, 9_000]));
        assert!(!believed(0, 2_500, &[100, 9_000, 9_000, 9_000]), "two of five are none");
        assert!(has_gone_back(&mut None, None, Instant::now()).is_ok(), "a server alone is not deposed");
        assert!(has_gone_back(&mut None, Some(&cluster(&[])), Instant::now()).is_ok());
    }

    #[test]
    fn has_gone_back_begins_anew_with_another_leader_and_says_what_it_has_seen() {
        let (begun, mut doubt) = (Instant::now(), None);
        let another = ClusterInfo { leader: Some("n7".to_owned()), ..cluster(&[100, 0]) };
        assert!(has_gone_back(&mut doubt, Some(&cluster(&[100, 100])), begun).is_err());
        let why = has_gone_back(&mut doubt, Some(&another), begun + MS(3_000)).unwrap_err();
        assert_eq!(why, "its leader n7 says so for 0.0ns, and was last answered by n1 100.0ms ago, by n2 never");
        assert!(has_gone_back(&mut doubt, Some(&another), begun + MS(5_500)).is_ok());
    }

    #[test]
    fn has_gone_back_does_not_ask_whether_others_have_all_that_the_leader_has() {
        let (begun, mut doubt) = (Instant::now(), None);
        let mut behind = cluster(&[100, 100]);
        for replica in &mut behind.replicas {
            (replica.current, replica.lag) = (false, Some(1_000));
        }
        assert!(has_gone_back(&mut doubt, Some(&behind), begun).is_err());
        assert!(has_gone_back(&mut doubt, Some(&behind), begun + DEPOSED).is_ok());
    }
}
