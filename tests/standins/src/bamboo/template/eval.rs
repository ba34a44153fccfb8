//! Running the tree.

use super::functions;
use super::parse::{Node, Operand, Pipeline};
use super::value::Value;
use anyhow::{bail, ensure};
use std::fmt::Write;

/// Renders nodes with `data` as dot and as `$`.
pub fn run(nodes: &[Node], data: &Value) -> anyhow::Result<String> {
    let mut run = Run {
        output: String::new(),
        variables: vec![(String::new(), data.clone())],
    };
    run.nodes(nodes, data)?;
    Ok(run.output)
}

struct Run {
    output: String,
    variables: Vec<(String, Value)>,
}

impl Run {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> anyhow::Result<()> {
        for node in nodes {
            let scope = self.variables.len();
            match node {
                Node::Text(text) => self.output.push_str(text),
                Node::Output(pipeline) => {
                    let value = self.pipeline(pipeline, dot)?;
                    match pipeline.variables.first() {
                        // Visible to the nodes that follow: not out of scope yet.
                        Some(name) => {
                            self.variables.push((name.clone(), value));
                            continue;
                        }
                        None => write!(self.output, "{value}")?,
                    }
                }
                Node::If(head, body, otherwise) => {
                    let value = self.pipeline(head, dot)?;
                    let chosen = if value.truth() { body } else { otherwise };
                    self.declare(head, value);
                    self.nodes(chosen, dot)?;
                }
                Node::With(head, body, otherwise) => {
                    let value = self.pipeline(head, dot)?;
                    self.declare(head, value.clone());
                    if value.truth() {
                        self.nodes(body, &value)?;
                    } else {
                        self.nodes(otherwise, dot)?;
                    }
                }
                Node::Range(head, body, otherwise) => self.range(head, body, otherwise, dot)?,
            }
            self.variables.truncate(scope);
        }
        Ok(())
    }

    fn declare(&mut self, head: &Pipeline, value: Value) {
        if let Some(name) = head.variables.first() {
            self.variables.push((name.clone(), value));
        }
    }

    fn range(
        &mut self,
        head: &Pipeline,
        body: &[Node],
        otherwise: &[Node],
        dot: &Value,
    ) -> anyhow::Result<()> {
        let items: Vec<(Value, Value)> = match self.pipeline(head, dot)? {
            Value::List(items) => items
                .into_iter()
                .enumerate()
                .map(|(at, item)| (Value::Number(i64::try_from(at).unwrap_or(0)), item))
                .collect(),
            Value::Map(map) => map
                .into_iter()
                .map(|(key, value)| (Value::Text(key), value))
                .collect(),
            Value::Nothing => Vec::new(),
            other => bail!("range can't iterate over {other}"),
        };
        if items.is_empty() {
            return self.nodes(otherwise, dot);
        }
        for (key, item) in items {
            let scope = self.variables.len();
            match head.variables.as_slice() {
                [name] => self.variables.push((name.clone(), item.clone())),
                [index, name] => self
                    .variables
                    .extend([(index.clone(), key), (name.clone(), item.clone())]),
                _ => {}
            }
            self.nodes(body, &item)?;
            self.variables.truncate(scope);
        }
        Ok(())
    }

    fn pipeline(&self, pipeline: &Pipeline, dot: &Value) -> anyhow::Result<Value> {
        let mut value = None;
        for command in &pipeline.commands {
            value = Some(self.command(command, value, dot)?);
        }
        Ok(value.unwrap_or(Value::Nothing))
    }

    fn command(
        &self,
        command: &[Operand],
        last: Option<Value>,
        dot: &Value,
    ) -> anyhow::Result<Value> {
        let Some((first, rest)) = command.split_first() else {
            bail!("missing value for command")
        };
        if let Operand::Function(name) = first {
            let mut arguments = rest
                .iter()
                .map(|operand| self.operand(operand, dot))
                .collect::<anyhow::Result<Vec<_>>>()?;
            arguments.extend(last);
            return functions::call(name, &arguments);
        }
        ensure!(
            rest.is_empty() && last.is_none(),
            "can't give argument to non-function"
        );
        self.operand(first, dot)
    }

    fn operand(&self, operand: &Operand, dot: &Value) -> anyhow::Result<Value> {
        match operand {
            Operand::Text(text) => Ok(Value::Text(text.clone())),
            Operand::Number(number) => Ok(Value::Number(*number)),
            Operand::Bool(value) => Ok(Value::Bool(*value)),
            Operand::Dot(path) => follow(dot.clone(), path),
            Operand::Variable(name, path) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                let Some((_, value)) = found else {
                    bail!("undefined variable \"${name}\"")
                };
                follow(value.clone(), path)
            }
            Operand::Nested(pipeline, path) => follow(self.pipeline(pipeline, dot)?, path),
            Operand::Function(name) => functions::call(name, &[]),
        }
    }
}

fn follow(value: Value, path: &[String]) -> anyhow::Result<Value> {
    path.iter().try_fold(value, |value, name| value.field(name))
}
