use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The folder that holds one folder per data set.
///
/// That is `explicit` if given; else the variable `MOE_DATA_DIR`; else the folder `moe` in the user's cache folder,
/// `XDG_CACHE_HOME` or `~/.cache`. Empty variables count as absent. `None` if none of these is set. The folder need not
/// exist.
pub fn data_dir(explicit: Option<&Path>) -> Option<PathBuf> {
    resolve(explicit, |name| std::env::var_os(name))
}

/// The folder `moe` in the user's cache folder, `XDG_CACHE_HOME` or `~/.cache`.
pub(crate) fn cache_home() -> Option<PathBuf> {
    home(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
}

fn resolve(explicit: Option<&Path>, var: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let var = |name: &str| var(name).filter(|value| !value.is_empty());
    let given = explicit.map(Path::to_path_buf);
    given.or_else(|| Some(var("MOE_DATA_DIR")?.into())).or_else(|| home(var))
}

fn home(var: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let cache = var("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(Path::new(&var("HOME")?).join(".cache")));
    Some(cache?.join("moe"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(explicit: Option<&str>, vars: &[(&str, &str)]) -> Option<PathBuf> {
        resolve(explicit.map(Path::new), |name| {
            let found = vars.iter().find(|(key, _)| *key == name)?;
            Some(found.1.into())
        })
    }

    #[test]
    fn the_first_that_is_given_counts() {
        let all = [("MOE_DATA_DIR", "/data"), ("XDG_CACHE_HOME", "/cache"), ("HOME", "/home/me")];
        assert_eq!(with(Some("here"), &all), Some("here".into()));
        assert_eq!(with(None, &all), Some("/data".into()));
        assert_eq!(with(None, &all[1..]), Some("/cache/moe".into()));
        assert_eq!(with(None, &all[2..]), Some("/home/me/.cache/moe".into()));
        assert_eq!(with(None, &[]), None);
    }

    #[test]
    fn an_empty_variable_is_no_folder() {
        let vars = [("MOE_DATA_DIR", ""), ("HOME", "/home/me")];
        assert_eq!(with(None, &vars), Some("/home/me/.cache/moe".into()));
    }
}
