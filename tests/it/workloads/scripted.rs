//! An API server that misbehaves, in this process and with time that stands still.
