//! Local facts: what files and programs of `facts.d` say, as JSON or INI.

use super::{Facts, Told};
use serde_json::{Map, Value as Json, json};

pub(super) fn add(told: &Told, facts: &mut Facts, warnings: &mut Vec<String>) {
    let mut local = Map::new();
    let mut entries: Vec<_> = told.local.iter().collect();
    entries.sort_by_key(|(head, _)| head.rsplit(' ').next());
    for (head, body) in entries {
        let mut words = head.splitn(3, ' ');
        let (kind, rc, file) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let name = super::base(file).replace(".fact", "");
        let value = match kind {
            "l" => Err(format!(
                "Could not stat fact ({file}): [Errno 2] No such file or directory: '{file}'"
            )),
            "x" if rc != "0" => Err(format!(
                "Failure executing fact script ({file}), rc: {rc}, err: {body}"
            )),
            _ => read(body).map_err(|why| match why {
                Bad::Text => {
                    format!("error loading facts as JSON or ini - please check content: {file}")
                }
                Bad::Value(why) => {
                    format!("error loading facts as ini - please check content: {file} ({why})")
                }
            }),
        };
        let value = value.unwrap_or_else(|why| {
            warnings.push(why.clone());
            json!(why)
        });
        local.insert(name, value);
    }
    facts.insert("local".into(), Json::Object(local));
}

/// Why a file says nothing.
#[derive(Debug, PartialEq)]
enum Bad {
    /// It is neither JSON nor INI.
    Text,
    /// A value of it refers to nothing.
    Value(String),
}

fn read(text: &str) -> Result<Json, Bad> {
    if let Ok(json) = serde_json::from_str(text) {
        return Ok(json);
    }
    let mut json = ini(text).ok_or(Bad::Text)?;
    let Some(sections) = json.as_object_mut() else {
        return Err(Bad::Text);
    };
    for section in sections.values_mut().filter_map(Json::as_object_mut) {
        let raw = section.clone();
        for value in section.values_mut() {
            if let Json::String(text) = value {
                *value = json!(interpolate(text, &raw, 0).map_err(Bad::Value)?);
            }
        }
    }
    Ok(json)
}

/// `%(name)s` and `%%`, as `configparser` replaces them.
fn interpolate(text: &str, section: &Map<String, Json>, depth: u8) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let name = after
            .strip_prefix('(')
            .and_then(|after| after.split_once(")s"));
        let Some((name, after)) = name.filter(|_| depth < 10) else {
            return Err(format!(
                "'%' must be followed by '%' or '(', found: '%{after}'"
            ));
        };
        let value = section.get(&name.to_lowercase()).and_then(Json::as_str);
        let value =
            value.ok_or_else(|| format!("bad value substitution: '{name}' is not there"))?;
        out.push_str(&interpolate(value, section, depth + 1)?);
        rest = after;
    }
    Ok(out + rest)
}

/// INI as Python's `configparser` reads it: keys in lower case, `=` or `:`, indented lines continue a value.
fn ini(text: &str) -> Option<Json> {
    let mut sections: Map<String, Json> = Map::new();
    let mut defaults: Map<String, Json> = Map::new();
    let mut section: Option<String> = None;
    let mut last: Option<String> = None;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        let here = match section.as_deref() {
            Some("DEFAULT") => Some(&mut defaults),
            Some(name) => sections.get_mut(name).and_then(Json::as_object_mut),
            None => None,
        };
        if line.starts_with([' ', '\t'])
            && let (Some(here), Some(key)) = (here, &last)
        {
            if let Some(Json::String(value)) = here.get_mut(key) {
                value.push('\n');
                value.push_str(trimmed);
            }
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[').and_then(|s| s.split_once(']')) {
            let name = name.0.to_owned();
            if name != "DEFAULT" {
                sections.entry(name.clone()).or_insert_with(|| json!({}));
            }
            section = Some(name);
            last = None;
            continue;
        }
        let here = match section.as_deref() {
            Some("DEFAULT") => &mut defaults,
            Some(name) => sections.get_mut(name)?.as_object_mut()?,
            // A value before the first section: configparser refuses the file.
            None => return None,
        };
        let (key, value) = trimmed.split_once(['=', ':'])?;
        let key = key.trim().to_lowercase();
        here.insert(key.clone(), json!(value.trim()));
        last = Some(key);
    }
    for section in sections.values_mut() {
        if let Some(section) = section.as_object_mut() {
            for (key, value) in &defaults {
                section.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
    }
    Some(Json::Object(sections))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_ini_are_read() {
        assert_eq!(read("{\"a\": [1]}\n"), Ok(json!({"a": [1]})));
        assert_eq!(
            read("[General]\nKey = value\n more\nother: 2\n"),
            Ok(json!({"General": {"key": "value\nmore", "other": "2"}}))
        );
        assert_eq!(read("a = 1"), Err(Bad::Text));
        assert_eq!(
            read("[a]\nb=x\nc=%(b)s%%"),
            Ok(json!({"a": {"b": "x", "c": "x%"}}))
        );
        assert!(matches!(read("[a]\nb=50% off"), Err(Bad::Value(_))));
        assert_eq!(read(""), Ok(json!({})));
    }
}
