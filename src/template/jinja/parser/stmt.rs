//! Statements, each behind its word.

use super::super::ast::{Block, Expr, ExprKind, For, Macro, StmtKind, Target};
use super::{At, Parsed, Parser, SyntaxError, Tok};
use std::sync::Arc;

/// Parameters of a macro, the last ones with defaults.
type Params = Vec<(Arc<str>, Option<Expr>)>;

impl Parser<'_> {
    pub(super) fn for_loop(&mut self) -> Parsed<For> {
        let target = self.target(&["in"], false)?;
        self.expect_word("in")?;
        let iter = self.tuple(false, &["recursive", "if"])?;
        let test = if self.skip_word("if") {
            Some(self.condexpr()?)
        } else {
            None
        };
        let recursive = self.skip_word("recursive");
        self.skip_op(":");
        self.expect_block_end()?;
        self.loops += 1;
        let body = self.body(&["else", "endfor"])?;
        self.loops -= 1;
        let otherwise = if self.skip_word("else") {
            self.inner(&["endfor"])?
        } else {
            self.pos += 1;
            Vec::new()
        };
        Ok(For {
            target,
            iter,
            test,
            recursive,
            body,
            otherwise,
        })
    }

    pub(super) fn if_chain(&mut self) -> Parsed<StmtKind> {
        let mut arms = Vec::new();
        loop {
            let test = self.tuple(false, &[])?;
            self.skip_op(":");
            self.expect_block_end()?;
            let body = self.body(&["elif", "else", "endif"])?;
            arms.push((test, body));
            if self.skip_word("elif") {
                continue;
            }
            if self.skip_word("else") {
                return Ok(StmtKind::If(arms, self.inner(&["endif"])?));
            }
            self.pos += 1;
            return Ok(StmtKind::If(arms, Vec::new()));
        }
    }

    pub(super) fn set(&mut self) -> Parsed<StmtKind> {
        let target = self.target(&[], true)?;
        if self.skip_op("=") {
            return Ok(StmtKind::Set(target, self.tuple(true, &[])?));
        }
        let filter = if self.op("|") {
            Some(self.filter_chain(false)?)
        } else {
            None
        };
        if self.peek() != Some(&Tok::BlockEnd) {
            return Err(self.unexpected("`=`"));
        }
        Ok(StmtKind::SetBlock(target, filter, self.inner(&["endset"])?))
    }

    pub(super) fn with(&mut self) -> Parsed<StmtKind> {
        let mut pairs = Vec::new();
        while self.peek() != Some(&Tok::BlockEnd) && !self.op(":") {
            if !pairs.is_empty() {
                self.expect_op(",")?;
            }
            let target = self.single_target(false)?;
            self.expect_op("=")?;
            pairs.push((target, self.condexpr()?));
        }
        Ok(StmtKind::With(pairs, self.inner(&["endwith"])?))
    }

    pub(super) fn params(&mut self) -> Parsed<Params> {
        let mut params: Params = Vec::new();
        self.expect_op("(")?;
        while !self.op(")") {
            if !params.is_empty() {
                self.expect_op(",")?;
                if self.op(")") {
                    break;
                }
            }
            let at = self.at();
            let name = self.expect_name()?;
            let default = if self.skip_op("=") {
                Some(self.condexpr()?)
            } else {
                None
            };
            if default.is_none() && params.iter().any(|(_, d)| d.is_some()) {
                return Err(SyntaxError::new(
                    "a parameter without default behind one that has one",
                    at,
                ));
            }
            params.push((name, default));
        }
        self.expect_op(")")?;
        Ok(params)
    }

    pub(super) fn macro_decl(&mut self) -> Parsed<Macro> {
        let name = self.expect_name()?;
        let params = self.params()?;
        let loops = std::mem::take(&mut self.loops);
        let body = self.inner(&["endmacro"])?;
        self.loops = loops;
        Ok(Macro { name, params, body })
    }

    pub(super) fn call_block(&mut self) -> Parsed<StmtKind> {
        let params = if self.op("(") {
            self.params()?
        } else {
            Vec::new()
        };
        let call = self.condexpr()?;
        if !matches!(call.kind, ExprKind::Call(..)) {
            return Err(SyntaxError::new("expected a call", call.at));
        }
        let loops = std::mem::take(&mut self.loops);
        let body = self.inner(&["endcall"])?;
        self.loops = loops;
        let decl = Macro {
            name: Arc::from("caller"),
            params,
            body,
        };
        Ok(StmtKind::CallBlock(call, Arc::new(decl)))
    }

    pub(super) fn block(&mut self, at: At) -> Parsed<StmtKind> {
        let name = self.expect_name()?;
        let scoped = self.skip_word("scoped");
        let required = self.skip_word("required");
        let body = self.inner(&["endblock"])?;
        self.skip_word(&name);
        let block = Arc::new(Block {
            name: Arc::clone(&name),
            scoped,
            required,
            body,
        });
        if self
            .blocks
            .insert(Arc::clone(&name), Arc::clone(&block))
            .is_some()
        {
            return Err(SyntaxError::new(
                format!("block `{name}` is defined twice"),
                at,
            ));
        }
        Ok(StmtKind::Block(block))
    }

    /// `with context` or `without context`.
    pub(super) fn context(&mut self) -> Option<bool> {
        let with = if self.word("with") {
            true
        } else if self.word("without") {
            false
        } else {
            return None;
        };
        if !self.next_word("context") {
            return None;
        }
        self.pos += 2;
        Some(with)
    }

    pub(super) fn include(&mut self) -> Parsed<StmtKind> {
        let name = self.condexpr()?;
        let ignore_missing = self.word("ignore") && self.next_word("missing");
        if ignore_missing {
            self.pos += 2;
        }
        Ok(StmtKind::Include {
            name,
            ignore_missing,
            with_context: self.context().unwrap_or(true),
        })
    }

    pub(super) fn import(&mut self) -> Parsed<StmtKind> {
        let name = self.condexpr()?;
        self.expect_word("as")?;
        let target = self.expect_name()?;
        Ok(StmtKind::Import {
            name,
            target,
            with_context: self.context().unwrap_or(false),
        })
    }

    pub(super) fn names_import(&mut self) -> Parsed<StmtKind> {
        let name = self.condexpr()?;
        self.expect_word("import")?;
        let mut names = Vec::new();
        let mut with_context = None;
        loop {
            with_context = with_context.or(self.context());
            if with_context.is_some() {
                break;
            }
            let at = self.at();
            let from = self.expect_name()?;
            if from.starts_with('_') {
                return Err(SyntaxError::new(
                    "names that start with an underscore cannot be imported",
                    at,
                ));
            }
            let to = if self.skip_word("as") {
                self.expect_name()?
            } else {
                Arc::clone(&from)
            };
            names.push((from, to));
            with_context = self.context();
            if with_context.is_some() || !self.skip_op(",") {
                break;
            }
            if self.peek() == Some(&Tok::BlockEnd) {
                break;
            }
        }
        Ok(StmtKind::FromImport {
            name,
            names,
            with_context: with_context.unwrap_or(false),
        })
    }

    pub(super) fn print(&mut self) -> Parsed<Vec<StmtKind>> {
        let mut out = Vec::new();
        while self.peek() != Some(&Tok::BlockEnd) {
            if !out.is_empty() {
                self.expect_op(",")?;
            }
            out.push(StmtKind::Output(self.condexpr()?));
        }
        Ok(out)
    }

    // --- assignment targets ---

    fn single_target(&mut self, attrs: bool) -> Parsed<Target> {
        if self.skip_op("(") {
            let target = self.target(&[], attrs)?;
            self.expect_op(")")?;
            return Ok(target);
        }
        let at = self.at();
        let name = self.expect_name()?;
        if matches!(
            name.as_ref(),
            "true" | "True" | "false" | "False" | "none" | "None"
        ) {
            return Err(SyntaxError::new(format!("cannot assign to `{name}`"), at));
        }
        if attrs && self.skip_op(".") {
            return Ok(Target::Attr(name, self.expect_name()?));
        }
        Ok(Target::Name(name))
    }

    fn target(&mut self, ends: &[&str], attrs: bool) -> Parsed<Target> {
        let first = self.single_target(attrs)?;
        if !self.op(",") {
            return Ok(first);
        }
        let mut targets = vec![first];
        while self.skip_op(",") {
            if self.op("=") || self.op(")") || ends.iter().any(|word| self.word(word)) {
                break;
            }
            targets.push(self.single_target(attrs)?);
        }
        Ok(Target::Tuple(targets))
    }
}
