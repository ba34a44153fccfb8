//! From text to a [`super::Node`] tree.
