//! `package`: whatever manages packages here; that is apt.

use super::apt::Apt;
use super::{Args, Controller, Failure, FreeForm, Module, Runs, Spec, Step};

/// `package`.
pub(crate) struct Package;

/// Why a parameter is refused once a host comes to it.
const OTHERS: &str = "other package managers have it, apt does not";

static SPEC: Spec = Spec {
    name: "package",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Manages packages by the host's package manager",
    params: super::apt::apt_params![
        Param::new("use", Type::Str, "the package manager").default("auto"),
        Param::unsupported("enablerepo", OTHERS),
        Param::unsupported("disablerepo", OTHERS),
        Param::unsupported("enable_plugin", OTHERS),
        Param::unsupported("disable_plugin", OTHERS),
        Param::unsupported("exclude", OTHERS),
        Param::unsupported("conf_file", OTHERS),
        Param::unsupported("disable_gpg_check", OTHERS),
        Param::unsupported("disable_excludes", OTHERS),
        Param::unsupported("installroot", OTHERS),
        Param::unsupported("security", OTHERS),
        Param::unsupported("bugfix", OTHERS),
        Param::unsupported("skip_broken", OTHERS),
        Param::unsupported("update_only", OTHERS),
        Param::unsupported("download_only", OTHERS),
        Param::unsupported("releasever", OTHERS),
        Param::unsupported("nobest", OTHERS),
        Param::unsupported("best", OTHERS),
        Param::unsupported("allowerasing", OTHERS),
        Param::unsupported("use_backend", OTHERS),
        Param::unsupported("validate_certs", OTHERS),
        Param::unsupported("type", OTHERS),
        Param::unsupported("extra_args", OTHERS),
        Param::unsupported("disable_recommends", OTHERS)
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
