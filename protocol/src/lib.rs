//! Placeholder of the first hour; see ARCHITECTURE.md.
