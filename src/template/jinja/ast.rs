//! The tree of a template. Owned, shared and never changed after parsing.

use super::At;
use crate::template::filters::Filter;
use crate::template::tests::Test;
use minijinja::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// A parsed template.
#[derive(Debug)]
pub(crate) struct Template {
    /// The text it was parsed from; places are ranges in it.
    pub(crate) text: Arc<str>,
    /// Its file, for templates read from one.
    pub(crate) name: Option<Arc<str>>,
    pub(crate) body: Vec<Stmt>,
    pub(crate) blocks: HashMap<Arc<str>, Arc<Block>>,
    /// Whether a method that changes its list or mapping is called anywhere.
    pub(crate) mutates: bool,
}

/// A parsed expression that stands alone.
#[derive(Debug)]
pub(crate) struct Expression {
    pub(crate) text: Arc<str>,
    pub(crate) expr: Expr,
    pub(crate) mutates: bool,
}

#[derive(Debug)]
pub(crate) struct Stmt {
    pub(crate) kind: StmtKind,
    pub(crate) at: At,
}

#[derive(Debug)]
pub(crate) enum StmtKind {
    Data(Value),
    Output(Expr),
    If(Vec<(Expr, Vec<Stmt>)>, Vec<Stmt>),
    For(Arc<For>),
    Set(Target, Expr),
    SetBlock(Target, Option<Expr>, Vec<Stmt>),
    With(Vec<(Target, Expr)>, Vec<Stmt>),
    Macro(Arc<Macro>),
    /// `{% call(args) f() %}body{% endcall %}`
    CallBlock(Expr, Arc<Macro>),
    FilterBlock(Expr, Vec<Stmt>),
    /// A body with its own scope (`autoescape`).
    Scope(Vec<Stmt>),
    Block(Arc<Block>),
    Extends(Expr),
    Include {
        name: Expr,
        ignore_missing: bool,
        with_context: bool,
    },
    Import {
        name: Expr,
        target: Arc<str>,
        with_context: bool,
    },
    FromImport {
        name: Expr,
        names: Vec<(Arc<str>, Arc<str>)>,
        with_context: bool,
    },
    Do(Expr),
    Break,
    Continue,
}

#[derive(Debug)]
pub(crate) struct For {
    pub(crate) target: Target,
    pub(crate) iter: Expr,
    pub(crate) test: Option<Expr>,
    pub(crate) recursive: bool,
    pub(crate) body: Vec<Stmt>,
    pub(crate) otherwise: Vec<Stmt>,
}

#[derive(Debug)]
pub(crate) struct Macro {
    pub(crate) name: Arc<str>,
    /// Parameters; the last ones have defaults.
    pub(crate) params: Vec<(Arc<str>, Option<Expr>)>,
    pub(crate) body: Vec<Stmt>,
}

#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) name: Arc<str>,
    pub(crate) scoped: bool,
    pub(crate) required: bool,
    pub(crate) body: Vec<Stmt>,
}

/// Where an assignment goes.
#[derive(Debug)]
pub(crate) enum Target {
    Name(Arc<str>),
    /// An attribute of a namespace.
    Attr(Arc<str>, Arc<str>),
    Tuple(Vec<Target>),
}

#[derive(Debug)]
pub(crate) struct Expr {
    pub(crate) kind: ExprKind,
    pub(crate) at: At,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BinOp {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Mod,
    Pow,
}

impl BinOp {
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::FloorDiv => "//",
            Self::Mod => "%",
            Self::Pow => "**",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CmpOp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
}

#[derive(Debug)]
pub(crate) enum ExprKind {
    Const(Value),
    Name(Arc<str>),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    Attr(Box<Expr>, Arc<str>),
    Item(Box<Expr>, Box<Expr>),
    Slice(Box<Expr>, Box<[Option<Expr>; 3]>),
    Call(Box<Expr>, Args),
    Filter(Box<FilterCall>),
    Test(Box<TestCall>),
    Not(Box<Expr>),
    Neg(Box<Expr>),
    Pos(Box<Expr>),
    Bin(BinOp, Box<(Expr, Expr)>),
    And(Box<(Expr, Expr)>),
    Or(Box<(Expr, Expr)>),
    Compare(Box<Expr>, Vec<(CmpOp, Expr)>),
    Concat(Vec<Expr>),
    /// Condition, then, else.
    Cond(Box<(Expr, Expr)>, Option<Box<Expr>>),
    /// The text of the block a filter chain stands on.
    Captured,
}

#[derive(Debug)]
pub(crate) struct FilterCall {
    pub(crate) subject: Expr,
    pub(crate) name: Arc<str>,
    pub(crate) name_at: At,
    pub(crate) filter: Option<&'static Filter>,
    pub(crate) args: Args,
}

#[derive(Debug)]
pub(crate) struct TestCall {
    pub(crate) subject: Expr,
    pub(crate) name: Arc<str>,
    pub(crate) name_at: At,
    pub(crate) test: Option<&'static Test>,
    pub(crate) args: Args,
}

/// Arguments of a call.
#[derive(Debug, Default)]
pub(crate) struct Args {
    pub(crate) pos: Vec<Expr>,
    pub(crate) kw: Vec<(Arc<str>, Expr)>,
    pub(crate) star: Option<Box<Expr>>,
    pub(crate) star_kw: Option<Box<Expr>>,
}
