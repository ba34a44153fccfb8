//! Tokens to tree: Jinja2's grammar, statements here, expressions in `expr`.

mod expr;

use super::ast::{Block, Expr, ExprKind, Expression, For, Macro, Stmt, StmtKind, Target, Template};
use super::lexer::{self, Tok};
use super::{At, Syntax, SyntaxError};
use crate::diag::near;
use minijinja::Value;
use std::collections::HashMap;
use std::sync::Arc;

type Parsed<T> = Result<T, SyntaxError>;

/// Statements and what ends them, for messages.
const STATEMENTS: &[&str] = &[
    "for",
    "if",
    "set",
    "with",
    "macro",
    "call",
    "filter",
    "block",
    "extends",
    "include",
    "import",
    "from",
    "do",
    "break",
    "continue",
    "print",
    "autoescape",
    "raw",
    "endfor",
    "endif",
    "endset",
    "endwith",
    "endmacro",
    "endcall",
    "endfilter",
    "endblock",
    "endautoescape",
    "endraw",
    "else",
    "elif",
];

/// Deeper nesting than this is refused: evaluation recurses as the tree does.
const MAX_DEPTH: usize = 100;

/// Parses a template.
pub(crate) fn template(
    text: &Arc<str>,
    name: Option<Arc<str>>,
    syntax: &Syntax,
) -> Parsed<Template> {
    let mut parser = Parser::new(lexer::template(text, syntax)?, text, syntax);
    let body = parser.body(&[])?;
    if parser.pos < parser.toks.len() {
        return Err(parser.stray_end());
    }
    Ok(Template {
        text: Arc::clone(text),
        name,
        body,
        blocks: parser.blocks,
        mutates: parser.mutates,
    })
}

/// Parses a bare expression.
pub(crate) fn expression(text: &Arc<str>, syntax: &Syntax) -> Parsed<Expression> {
    let toks = lexer::expression(text, syntax)?;
    let mut parser = Parser::new(toks, text, syntax);
    let expr = parser.condexpr()?;
    if let Some((tok, at)) = parser.toks.get(parser.pos) {
        let message = format!("unexpected {} behind the expression", tok.describe(syntax));
        return Err(SyntaxError::new(message, *at));
    }
    Ok(Expression {
        text: Arc::clone(text),
        expr,
        mutates: parser.mutates,
    })
}

struct Parser<'a> {
    toks: Vec<(Tok, At)>,
    pos: usize,
    syntax: &'a Syntax,
    end: At,
    /// Statements that are open, with what may end them.
    open: Vec<(String, At)>,
    blocks: HashMap<Arc<str>, Arc<Block>>,
    mutates: bool,
    depth: usize,
    loops: usize,
}

impl<'a> Parser<'a> {
    fn new(toks: Vec<(Tok, At)>, text: &str, syntax: &'a Syntax) -> Self {
        Self {
            toks,
            pos: 0,
            syntax,
            end: At::new(text.len(), text.len()),
            open: Vec::new(),
            blocks: HashMap::new(),
            mutates: false,
            depth: 0,
            loops: 0,
        }
    }

    // --- tokens ---

    fn peek(&self) -> Option<&Tok> {
        self.toks.get(self.pos).map(|(tok, _)| tok)
    }

    fn look(&self) -> Option<&Tok> {
        self.toks.get(self.pos + 1).map(|(tok, _)| tok)
    }

    fn at(&self) -> At {
        self.toks.get(self.pos).map_or(self.end, |(_, at)| *at)
    }

    fn last(&self) -> At {
        self.pos
            .checked_sub(1)
            .and_then(|n| self.toks.get(n))
            .map_or(At::default(), |(_, at)| *at)
    }

    fn op(&self, op: &str) -> bool {
        matches!(self.peek(), Some(Tok::Op(o)) if *o == op)
    }

    fn word(&self, name: &str) -> bool {
        matches!(self.peek(), Some(Tok::Name(n)) if n == name)
    }

    fn next_word(&self, name: &str) -> bool {
        matches!(self.look(), Some(Tok::Name(n)) if n == name)
    }

    fn skip_op(&mut self, op: &str) -> bool {
        let yes = self.op(op);
        self.pos += usize::from(yes);
        yes
    }

    fn skip_word(&mut self, name: &str) -> bool {
        let yes = self.word(name);
        self.pos += usize::from(yes);
        yes
    }

    fn unexpected(&self, wanted: &str) -> SyntaxError {
        match self.peek() {
            Some(tok) => SyntaxError::new(
                format!("expected {wanted}, found {}", tok.describe(self.syntax)),
                self.at(),
            ),
            None => SyntaxError::new(format!("expected {wanted}, found the end"), self.end),
        }
    }

    fn expect_op(&mut self, op: &str) -> Parsed<()> {
        if self.skip_op(op) {
            return Ok(());
        }
        Err(self.unexpected(&format!("`{op}`")))
    }

    fn expect_word(&mut self, name: &str) -> Parsed<()> {
        if self.skip_word(name) {
            return Ok(());
        }
        Err(self.unexpected(&format!("`{name}`")))
    }

    fn expect_name(&mut self) -> Parsed<Arc<str>> {
        if let Some(Tok::Name(name)) = self.peek() {
            let name = Arc::from(name.as_str());
            self.pos += 1;
            return Ok(name);
        }
        Err(self.unexpected("a name"))
    }

    fn expect_block_end(&mut self) -> Parsed<()> {
        if self.peek() == Some(&Tok::BlockEnd) {
            self.pos += 1;
            return Ok(());
        }
        Err(self.unexpected(&format!("`{}`", self.syntax.block.1)))
    }

    /// Guards against nesting that would overflow the stack.
    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(SyntaxError::new("this is nested too deeply", self.at()));
        }
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    // --- statements ---

    /// Statements up to a block tag whose word is among `ends`; that word is the next token then.
    fn body(&mut self, ends: &[&str]) -> Parsed<Vec<Stmt>> {
        self.deeper(|p| p.body_inner(ends))
    }

    fn body_inner(&mut self, ends: &[&str]) -> Parsed<Vec<Stmt>> {
        let mut body = Vec::new();
        while let Some((tok, at)) = self.toks.get(self.pos) {
            let at = *at;
            match tok {
                Tok::Data(text) => {
                    let kind = StmtKind::Data(Value::from(text.as_str()));
                    body.push(Stmt { kind, at });
                    self.pos += 1;
                }
                Tok::VariableStart => {
                    self.pos += 1;
                    let expr = self.tuple(true, &[])?;
                    if self.peek() != Some(&Tok::VariableEnd) {
                        return Err(self.unexpected(&format!("`{}`", self.syntax.variable.1)));
                    }
                    self.pos += 1;
                    body.push(Stmt {
                        at: expr.at,
                        kind: StmtKind::Output(expr),
                    });
                }
                Tok::BlockStart => {
                    if let Some(Tok::Name(word)) = self.look()
                        && ends.contains(&word.as_str())
                    {
                        self.pos += 1;
                        return Ok(body);
                    }
                    self.pos += 1;
                    let start = at;
                    let stmts = self.statement(start)?;
                    body.extend(stmts);
                }
                _ => return Err(self.unexpected("text or a tag")),
            }
        }
        if let (false, Some((word, at))) = (ends.is_empty(), self.open.last()) {
            let message = format!("this `{word}` has no `{}`", ends[ends.len() - 1]);
            return Err(SyntaxError::new(message, *at));
        }
        Ok(body)
    }

    /// A word that ends what is not open, or is no statement at all.
    fn stray_end(&self) -> SyntaxError {
        let Some(Tok::Name(word)) = self.peek() else {
            return self.unexpected("a statement");
        };
        let message = if STATEMENTS.contains(&word.as_str()) {
            match self.open.last() {
                Some((open, _)) => format!("`{word}` does not belong into `{open}`"),
                None => format!("`{word}` ends nothing that is open"),
            }
        } else {
            format!("unknown statement `{word}`")
        };
        let error = SyntaxError::new(message, self.at());
        match near(word, STATEMENTS.iter().copied()) {
            Some(best) if best != word => error.hint(format!("did you mean `{best}`?")),
            _ => error,
        }
    }

    fn statement(&mut self, start: At) -> Parsed<Vec<Stmt>> {
        let word_at = self.at();
        let word = self.expect_name()?;
        self.open.push((word.to_string(), word_at));
        let kinds = self.statement_of(&word, word_at)?;
        self.open.pop();
        self.expect_block_end()?;
        let at = start.to(self.last());
        Ok(kinds.into_iter().map(|kind| Stmt { kind, at }).collect())
    }

    /// Everything between the opening word and the last `%}`.
    fn statement_of(&mut self, word: &str, word_at: At) -> Parsed<Vec<StmtKind>> {
        let kind = match word {
            "for" => StmtKind::For(Arc::new(self.for_loop()?)),
            "if" => self.if_chain()?,
            "set" => self.set()?,
            "with" => self.with()?,
            "macro" => StmtKind::Macro(Arc::new(self.macro_decl()?)),
            "call" => self.call_block()?,
            "filter" => {
                let chain = self.filter_chain(true)?;
                StmtKind::FilterBlock(chain, self.inner(&["endfilter"])?)
            }
            "block" => self.block(word_at)?,
            "extends" => StmtKind::Extends(self.condexpr()?),
            "include" => self.include()?,
            "import" => self.import()?,
            "from" => self.names_import()?,
            "do" => StmtKind::Do(self.tuple(true, &[])?),
            "autoescape" => {
                self.condexpr()?;
                StmtKind::Scope(self.inner(&["endautoescape"])?)
            }
            "print" => return self.print(),
            "break" if self.loops > 0 => StmtKind::Break,
            "continue" if self.loops > 0 => StmtKind::Continue,
            "break" | "continue" => {
                return Err(SyntaxError::new(
                    format!("`{word}` outside of a loop"),
                    word_at,
                ));
            }
            _ => {
                self.pos -= 1;
                self.open.pop();
                return Err(self.stray_end());
            }
        };
        Ok(vec![kind])
    }

    /// The end of the opening tag, then a body up to and over the word that ends it.
    fn inner(&mut self, ends: &[&str]) -> Parsed<Vec<Stmt>> {
        self.skip_op(":");
        self.expect_block_end()?;
        let body = self.body(ends)?;
        self.pos += 1;
        Ok(body)
    }

    fn for_loop(&mut self) -> Parsed<For> {
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

    fn if_chain(&mut self) -> Parsed<StmtKind> {
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

    fn set(&mut self) -> Parsed<StmtKind> {
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

    fn with(&mut self) -> Parsed<StmtKind> {
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

    fn params(&mut self) -> Parsed<Vec<(Arc<str>, Option<Expr>)>> {
        let mut params: Vec<(Arc<str>, Option<Expr>)> = Vec::new();
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

    fn macro_decl(&mut self) -> Parsed<Macro> {
        let name = self.expect_name()?;
        let params = self.params()?;
        let loops = std::mem::take(&mut self.loops);
        let body = self.inner(&["endmacro"])?;
        self.loops = loops;
        Ok(Macro { name, params, body })
    }

    fn call_block(&mut self) -> Parsed<StmtKind> {
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

    fn block(&mut self, at: At) -> Parsed<StmtKind> {
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
    fn context(&mut self) -> Option<bool> {
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

    fn include(&mut self) -> Parsed<StmtKind> {
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

    fn import(&mut self) -> Parsed<StmtKind> {
        let name = self.condexpr()?;
        self.expect_word("as")?;
        let target = self.expect_name()?;
        Ok(StmtKind::Import {
            name,
            target,
            with_context: self.context().unwrap_or(false),
        })
    }

    fn names_import(&mut self) -> Parsed<StmtKind> {
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

    fn print(&mut self) -> Parsed<Vec<StmtKind>> {
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
