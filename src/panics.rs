//! What a contained panic said.

use std::any::Any;

use crate::sync::contain;

/// The message of a panic of user code, which takes its payload.
pub(crate) fn panic_message(payload: Box<dyn Any + Send>) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
    let message = text.unwrap_or("(no message)").to_owned();
    // The payload is the user's too, and so is its drop.
    let _dropped = contain(move || drop(payload));
    message
}
