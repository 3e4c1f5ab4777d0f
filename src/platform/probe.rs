//! The probe: what has happened is told once, as an [event](super::event::Event), where it has
//! taken effect.
//!
//! There are two readers. In a model build the execution traces (`trace.rs`) read every event.
//! With the feature `tracing` the replicator's are read by what stands before the probe's `=>`. In
//! other builds a probe is nothing: what it names is not compiled. So it decides nothing and
//! changes nothing.
//!
//! Of a state under a lock its monitor tells, after each change and each look, and a trace shows
//! what is new about it ([`Shown`](super::event::Shown)). The functions that change it need not.

/// Tells of an [event](super::event::Event): `probe!(Variant { .. })`, or
/// `probe!(teller => Variant { .. })` if `teller.told(event)` is to have it with the feature
/// `tracing`.
macro_rules! probe {
    ($teller:expr => $($event:tt)+) => {
        $crate::platform::in_a_model!($($event)+);
        $crate::platform::with_tracing!($teller, $($event)+);
    };
    ($($event:tt)+) => {
        $crate::platform::in_a_model!($($event)+)
    };
}
pub(crate) use probe;

#[cfg(all(loom, feature = "loom"))]
macro_rules! in_a_model {
    ($($event:tt)+) => {
        $crate::platform::trace::words::read($crate::platform::event::Event::$($event)+)
    };
}

#[cfg(not(all(loom, feature = "loom")))]
macro_rules! in_a_model {
    ($($event:tt)+) => {};
}
pub(crate) use in_a_model;

#[cfg(feature = "tracing")]
macro_rules! with_tracing {
    ($teller:expr, $($event:tt)+) => {
        $teller.told($crate::platform::event::Event::$($event)+)
    };
}

#[cfg(not(feature = "tracing"))]
macro_rules! with_tracing {
    ($teller:expr, $($event:tt)+) => {};
}
pub(crate) use with_tracing;
