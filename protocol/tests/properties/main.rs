//! What holds for any content and for any bytes: what is written is read back, what is cut waits,
//! what is broken is refused, and no peer makes a reader take memory for more than it has sent.

mod bodies;
mod content;
mod frames;
mod ranges;
mod slots;
