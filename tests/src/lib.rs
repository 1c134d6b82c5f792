//! Helpers of the whole-release tests.
