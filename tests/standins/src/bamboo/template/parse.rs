//! From tokens to a tree.

use super::functions;
use super::lexer::{Piece, Token, pieces};
use anyhow::{bail, ensure};
use std::iter::Peekable;
use std::vec::IntoIter;

/// A part of a template.
#[derive(Debug)]
pub enum Node {
    Text(String),
    /// Printed, unless it declares a variable.
    Output(Pipeline),
    If(Pipeline, Vec<Node>, Vec<Node>),
    With(Pipeline, Vec<Node>, Vec<Node>),
    Range(Pipeline, Vec<Node>, Vec<Node>),
}

/// `$a, $b := command | command`
#[derive(Debug)]
pub struct Pipeline {
    /// Declared variables.
    pub variables: Vec<String>,
    /// Each one's value is the last argument of the next.
    pub commands: Vec<Vec<Operand>>,
}

/// An operand, or the function at the start of a command.
#[derive(Debug)]
pub enum Operand {
    Text(String),
    Number(i64),
    Bool(bool),
    Dot(Vec<String>),
    Variable(String, Vec<String>),
    Nested(Pipeline, Vec<String>),
    Function(&'static str),
}

/// Reads a template.
pub fn parse(text: &str) -> anyhow::Result<Vec<Node>> {
    let mut parser = Parser {
        pieces: pieces(text)?.into_iter(),
        variables: vec![String::new()],
    };
    let (nodes, end) = parser.nodes()?;
    match end {
        Stop::Eof => Ok(nodes),
        Stop::End => bail!("unexpected {{{{end}}}}"),
        Stop::Else(_) => bail!("unexpected {{{{else}}}}"),
    }
}

struct Parser {
    pieces: IntoIter<Piece>,
    /// Variables that are visible here.
    variables: Vec<String>,
}

/// What a list of nodes ended with.
enum Stop {
    Eof,
    End,
    /// With the rest of `else if …`.
    Else(Vec<Token>),
}

type Tokens = Peekable<IntoIter<Token>>;

impl Parser {
    fn nodes(&mut self) -> anyhow::Result<(Vec<Node>, Stop)> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let mut tokens = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action(tokens) => tokens,
            };
            let keyword = match tokens.first() {
                Some(Token::Word(word)) => word.clone(),
                _ => String::new(),
            };
            match keyword.as_str() {
                "end" => return Ok((nodes, Stop::End)),
                "else" => {
                    tokens.remove(0);
                    return Ok((nodes, Stop::Else(tokens)));
                }
                "if" | "with" | "range" => nodes.push(self.block(tokens)?),
                _ => nodes.push(Node::Output(
                    self.pipeline(&mut tokens.into_iter().peekable(), false)?,
                )),
            }
        }
        Ok((nodes, Stop::Eof))
    }

    fn block(&mut self, mut tokens: Vec<Token>) -> anyhow::Result<Node> {
        let Token::Word(keyword) = tokens.remove(0) else {
            bail!("missing keyword")
        };
        let scope = self.variables.len();
        let head = self.pipeline(&mut tokens.into_iter().peekable(), false)?;
        let (body, end) = self.nodes()?;
        let otherwise = match end {
            Stop::Eof => bail!("unexpected EOF in {keyword}"),
            Stop::End => Vec::new(),
            // `else if` is a block of its own, with the same `end`.
            Stop::Else(rest) if !rest.is_empty() => vec![self.block(rest)?],
            Stop::Else(_) => match self.nodes()? {
                (nodes, Stop::End) => nodes,
                _ => bail!("unexpected EOF in else of {keyword}"),
            },
        };
        self.variables.truncate(scope);
        Ok(match keyword.as_str() {
            "if" => Node::If(head, body, otherwise),
            "with" => Node::With(head, body, otherwise),
            "range" => Node::Range(head, body, otherwise),
            other => bail!("unexpected {other}"),
        })
    }

    /// Reads up to the end, or to `)` when nested.
    fn pipeline(&mut self, tokens: &mut Tokens, nested: bool) -> anyhow::Result<Pipeline> {
        let variables = declared(tokens);
        let mut commands = vec![Vec::new()];
        let mut closed = false;
        while let Some(token) = tokens.next() {
            match token {
                Token::Pipe => commands.push(Vec::new()),
                Token::Close => {
                    ensure!(nested, "unexpected right paren");
                    closed = true;
                    break;
                }
                // Only keeps two operands apart.
                Token::Word(word) if word.is_empty() => {}
                token => {
                    let operand = self.operand(token, tokens)?;
                    if let Some(command) = commands.last_mut() {
                        command.push(operand);
                    }
                }
            }
        }
        ensure!(closed || !nested, "unclosed left paren");
        ensure!(
            commands.iter().all(|command| !command.is_empty()),
            "missing value for command"
        );
        self.variables.extend(variables.iter().cloned());
        Ok(Pipeline {
            variables,
            commands,
        })
    }

    fn operand(&mut self, token: Token, tokens: &mut Tokens) -> anyhow::Result<Operand> {
        Ok(match token {
            Token::Text(text) => Operand::Text(text),
            Token::Number(number) => Operand::Number(number),
            Token::Word(word) if word == "true" || word == "false" => Operand::Bool(word == "true"),
            Token::Word(word) => match functions::NAMES.iter().find(|known| **known == word) {
                Some(name) => Operand::Function(name),
                None => bail!("function \"{word}\" not defined"),
            },
            Token::Field(name) => {
                let mut path: Vec<String> = Some(name)
                    .filter(|name| !name.is_empty())
                    .into_iter()
                    .collect();
                path.extend(fields(tokens));
                Operand::Dot(path)
            }
            Token::Variable(name) => {
                ensure!(
                    self.variables.contains(&name),
                    "undefined variable \"${name}\""
                );
                Operand::Variable(name, fields(tokens))
            }
            Token::Open => Operand::Nested(self.pipeline(tokens, true)?, fields(tokens)),
            Token::Close | Token::Pipe | Token::Comma | Token::Declare => {
                bail!("unexpected {token:?} in operand")
            }
        })
    }
}

/// `$a :=` or `$a, $b :=` at the start.
fn declared(tokens: &mut Tokens) -> Vec<String> {
    let ahead: Vec<Token> = tokens.clone().take(4).collect();
    let names: Vec<String> = match ahead.as_slice() {
        [Token::Variable(one), Token::Declare, ..] => vec![one.clone()],
        [
            Token::Variable(one),
            Token::Comma,
            Token::Variable(two),
            Token::Declare,
        ] => vec![one.clone(), two.clone()],
        _ => return Vec::new(),
    };
    for _ in 0..names.len() * 2 {
        tokens.next();
    }
    names
}

/// The fields that follow an operand at once.
fn fields(tokens: &mut Tokens) -> Vec<String> {
    let mut path = Vec::new();
    while let Some(Token::Field(name)) = tokens.next_if(|token| matches!(token, Token::Field(_))) {
        path.push(name);
    }
    path
}
