//! No policy hurts another: what is stopped stops at once, and who waits is in nobody's way.

mod stop;
mod turns;
