//! Values as Python sees them: types, text, operators, undefined values, lists that change.

pub(crate) mod data;
pub(crate) mod lazy;
pub(crate) mod mutable;
pub(crate) mod ops;
pub(crate) mod text;
pub(crate) mod undefined;

pub(crate) use data::{Kind, items, kind, len, pairs};
pub(crate) use text::{repr, str_of};
pub(crate) use undefined::{Fault, Res, Undef, fault, undef};
