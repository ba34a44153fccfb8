//! What a template yields: one value as it is, or text.

use super::finish;
use crate::template::is_omit;
use crate::template::value::mutable::is_mutable;
use crate::template::value::text::write_str;
use crate::template::value::undefined::{Res, Why, undef};
use minijinja::Value;

/// Collects output. A single value keeps its type; several become text.
#[derive(Debug, Default)]
pub(crate) struct Out {
    one: Option<Value>,
    text: String,
    many: bool,
}

impl Out {
    /// Adds a value. Nothing (`None`) adds nothing.
    pub(crate) fn push(&mut self, value: Value) -> Res<()> {
        if value.is_none() {
            return Ok(());
        }
        if self.many {
            return self.append(&value);
        }
        // What may still change is taken as it is now.
        let value = if is_mutable(&value) {
            finish::result(value)?
        } else {
            value
        };
        match self.one.take() {
            None => self.one = Some(value),
            Some(first) => {
                self.many = true;
                self.append(&first)?;
                self.append(&value)?;
            }
        }
        Ok(())
    }

    fn append(&mut self, value: &Value) -> Res<()> {
        if let Some(text) = value.as_str() {
            self.text.push_str(text);
            return Ok(());
        }
        let nothing = undef(value).is_some_and(|u| matches!(u.why, Why::Nothing));
        if nothing || is_omit(value) {
            return Ok(());
        }
        let value = finish::result(value.clone())?;
        write_str(&mut self.text, &value)
    }

    /// The value: as it is when it was one, nothing when there was none.
    pub(crate) fn value(self) -> Value {
        if self.many {
            return Value::from(self.text);
        }
        self.one.unwrap_or_else(|| Value::from(()))
    }

    /// The text.
    pub(crate) fn text(mut self) -> Res<String> {
        if let Some(value) = self.one.take() {
            self.append(&value)?;
        }
        Ok(self.text)
    }
}
