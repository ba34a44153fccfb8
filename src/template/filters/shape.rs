//! Lists cut into pieces, side by side, and every way to pick from them.

use super::{Filter, filter, listed, need, size_or};
use crate::template::eval::call::{Args, Call};
use crate::template::value::data::{items, list, tuple};
use crate::template::value::undefined::Res;
use minijinja::Value;

pub(super) const FILTERS: &[Filter] = &[
    filter("batch", batch),
    filter("slice", slice),
    filter("zip", zip),
    filter("zip_longest", zip_longest),
    filter("product", product),
    filter("permutations", permutations),
    filter("combinations", combinations),
];

fn batch(c: &mut Call<'_, '_>) -> Res<Value> {
    let [size, fill] = c.bind(["linecount", "fill_with"])?;
    let size = size_or(size.as_ref(), 1, "the size")?.max(1);
    let all = items(&c.subject)?;
    let mut rows: Vec<Vec<Value>> = all.chunks(size).map(<[Value]>::to_vec).collect();
    if let (Some(fill), Some(row)) = (fill.filter(|f| !f.is_none()), rows.last_mut()) {
        row.resize(size, fill);
    }
    Ok(listed(rows.into_iter().map(list)))
}

fn slice(c: &mut Call<'_, '_>) -> Res<Value> {
    let [count, fill] = c.bind(["slices", "fill_with"])?;
    let count = size_or(count.as_ref(), 1, "the number of slices")?.max(1);
    let all = items(&c.subject)?;
    let (each, extra) = (all.len() / count, all.len() % count);
    let mut rest = all.as_slice();
    let mut out = Vec::with_capacity(count);
    for n in 0..count {
        let (row, after) = rest.split_at(each + usize::from(n < extra));
        rest = after;
        let mut row = row.to_vec();
        if let Some(fill) = fill.as_ref().filter(|f| !f.is_none())
            && n >= extra
        {
            row.push(fill.clone());
        }
        out.push(list(row));
    }
    Ok(list(out))
}

/// The subject and all positional arguments as lists, and what is named.
fn lists(c: &mut Call<'_, '_>) -> Res<(Vec<Vec<Value>>, Args)> {
    let mut args = std::mem::take(&mut c.args);
    let mut all = vec![items(&c.subject)?];
    for value in args.pos.drain(..) {
        all.push(items(&value)?);
    }
    Ok((all, args))
}

fn zip(c: &mut Call<'_, '_>) -> Res<Value> {
    let (all, mut args) = lists(c)?;
    args.take("strict");
    args.bind([]).map(|_: [Option<Value>; 0]| ())?;
    let len = all.iter().map(Vec::len).min().unwrap_or(0);
    Ok(listed((0..len).map(|n| {
        tuple(all.iter().map(|l| l[n].clone()).collect())
    })))
}

fn zip_longest(c: &mut Call<'_, '_>) -> Res<Value> {
    let (all, args) = lists(c)?;
    let [fill] = args.bind(["fillvalue"])?;
    let fill = fill.unwrap_or_else(|| Value::from(()));
    let len = all.iter().map(Vec::len).max().unwrap_or(0);
    Ok(listed((0..len).map(|n| {
        tuple(
            all.iter()
                .map(|l| l.get(n).cloned().unwrap_or_else(|| fill.clone()))
                .collect(),
        )
    })))
}

/// Every way to take one item of each list.
pub(crate) fn cartesian(lists: &[Vec<Value>]) -> Vec<Vec<Value>> {
    lists.iter().fold(vec![Vec::new()], |rows, items| {
        let extend = |row: &Vec<Value>| {
            let row = row.clone();
            items.iter().map(move |item| {
                let mut row = row.clone();
                row.push(item.clone());
                row
            })
        };
        rows.iter().flat_map(extend).collect()
    })
}

fn product(c: &mut Call<'_, '_>) -> Res<Value> {
    let (all, args) = lists(c)?;
    let [repeat] = args.bind(["repeat"])?;
    let repeat = size_or(repeat.as_ref(), 1, "`repeat`")?;
    let all: Vec<_> = std::iter::repeat_n(all, repeat).flatten().collect();
    Ok(listed(cartesian(&all).into_iter().map(tuple)))
}

fn permutations(c: &mut Call<'_, '_>) -> Res<Value> {
    let [size] = c.bind(["r"])?;
    let all = items(&c.subject)?;
    let size = size_or(size.as_ref(), all.len(), "the length")?;
    let mut rows: Vec<Vec<usize>> = vec![Vec::new()];
    for _ in 0..size {
        rows = rows
            .into_iter()
            .flat_map(|row| {
                (0..all.len())
                    .filter(|n| !row.contains(n))
                    .map(|n| [row.as_slice(), &[n]].concat())
                    .collect::<Vec<_>>()
            })
            .collect();
    }
    Ok(picked(&all, rows))
}

fn combinations(c: &mut Call<'_, '_>) -> Res<Value> {
    let [size] = c.bind(["r"])?;
    let all = items(&c.subject)?;
    let size = size_or(Some(&need(size, "the length")?), 0, "the length")?;
    let mut rows: Vec<Vec<usize>> = vec![Vec::new()];
    for _ in 0..size {
        rows = rows
            .into_iter()
            .flat_map(|row| {
                let from = row.last().map_or(0, |n| n + 1);
                (from..all.len())
                    .map(|n| [row.as_slice(), &[n]].concat())
                    .collect::<Vec<_>>()
            })
            .collect();
    }
    Ok(picked(&all, rows))
}

fn picked(all: &[Value], rows: Vec<Vec<usize>>) -> Value {
    listed(
        rows.into_iter()
            .map(|row| tuple(row.into_iter().map(|n| all[n].clone()).collect())),
    )
}
