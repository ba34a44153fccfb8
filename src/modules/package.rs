//! `package`: whatever manages packages here; that is apt.

use super::apt::Apt;
use super::{Args, Controller, Failure, FreeForm, Module, Runs, Spec, Step};

/// `package`.
pub(crate) struct Package;

static SPEC: Spec = Spec {
    name: "package",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Manages packages by the host's package manager",
    params: super::apt::apt_params![
        Param::new("use", Type::Str, "the package manager").default("auto")
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Package {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let fact = controller.fact("pkg_mgr");
        let manager = match args.text("use").rsplit('.').next() {
            Some("auto") | None => fact.as_str().unwrap_or("apt").to_owned(),
            Some(other) => other.to_owned(),
        };
        if manager != "apt" {
            return Err(Failure::of(
                "use",
                format!("the package manager `{manager}` is not supported, only apt"),
            ));
        }
        Apt.plan(args, controller)
    }
}
