//! Tokens to tree: Jinja2's grammar, statements here, expressions in `expr`.

mod call;
mod expr;
mod stmt;

use super::ast::{Block, Expression, Stmt, StmtKind, Template};
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
}
