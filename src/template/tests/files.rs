//! Files of the controller.

use super::{Test, test};
use crate::template::eval::call::Call;
use crate::template::filters::path::expand_user;
use crate::template::value::text::str_of;
use crate::template::value::undefined::{Res, fault};
use std::path::{Path, PathBuf};

pub(super) const TESTS: &[Test] = &[
    test("directory", |c| path(c).map(|p| p.is_dir())),
    test("is_dir", |c| path(c).map(|p| p.is_dir())),
    test("file", |c| path(c).map(|p| p.is_file())),
    test("is_file", |c| path(c).map(|p| p.is_file())),
    test("link", |c| path(c).map(|p| p.is_symlink())),
    test("is_link", |c| path(c).map(|p| p.is_symlink())),
    test("exists", |c| path(c).map(|p| p.exists())),
    test("link_exists", |c| {
        path(c).map(|p| p.symlink_metadata().is_ok())
    }),
    test("abs", |c| path(c).map(|p| p.is_absolute())),
    test("is_abs", |c| path(c).map(|p| p.is_absolute())),
    test("same_file", same_file),
    test("is_same_file", same_file),
    test("mount", mount),
    test("is_mount", mount),
    test("vaulted_file", |c| {
        let path = path(c)?;
        let text = std::fs::read(&path)
            .map_err(|error| fault(format!("cannot read {}: {error}", path.display())))?;
        Ok(text.starts_with(b"$ANSIBLE_VAULT"))
    }),
];

fn path(c: &mut Call<'_, '_>) -> Res<PathBuf> {
    c.no_args()?;
    str_of(&c.subject).map(PathBuf::from)
}

fn same_file(c: &mut Call<'_, '_>) -> Res<bool> {
    let [other] = c.bind(["other"])?;
    let other = other.ok_or_else(|| fault("the other path is missing"))?;
    let real = |path: &str| {
        Path::new(&expand_user(path))
            .canonicalize()
            .map_err(|error| fault(format!("{path}: {error}")))
    };
    Ok(real(&str_of(&c.subject)?)? == real(&str_of(&other)?)?)
}

fn mount(c: &mut Call<'_, '_>) -> Res<bool> {
    use std::os::unix::fs::MetadataExt;
    let path = path(c)?;
    let here = path.symlink_metadata();
    let parent = path.join("..").symlink_metadata();
    Ok(match (here, parent) {
        (Ok(here), Ok(parent)) if !here.is_symlink() => {
            here.dev() != parent.dev() || here.ino() == parent.ino()
        }
        _ => false,
    })
}
