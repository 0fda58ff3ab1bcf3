//! An ONNX file, run by ONNX Runtime.
//!
//! Its shared library is found at run time: an option, the variable `ORT_DYLIB_PATH`, or the Python
//! package `onnxruntime`. A process loads it once; a second path has no effect.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use ort::environment::Environment;
use ort::session::Session;
use ort::value::TensorRef;

use super::shape::input_shape;
use super::{Answer, Backend, BackendError};

pub(super) const NAME: &str = "onnxruntime";
const HELP: &str =
    "give its library with --onnxruntime PATH or ORT_DYLIB_PATH, or `pip install onnxruntime`";

/// Where to look for the library before the usual places.
#[derive(Debug, Clone, Default)]
pub struct OnnxRuntimeOptions {
    /// The shared library.
    pub library: Option<PathBuf>,
    /// Python interpreters to ask for the package; the usual ones come after these.
    pub pythons: Vec<PathBuf>,
}

impl OnnxRuntimeOptions {
    /// The first library there is: the option, `ORT_DYLIB_PATH`, the package of each interpreter.
    ///
    /// An interpreter is asked without importing the package.
    pub fn find(&self) -> Option<PathBuf> {
        let named = self
            .library
            .clone()
            .or_else(|| std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from));
        named.or_else(|| {
            self.interpreters()
                .iter()
                .find_map(|python| library_of(python))
        })
    }

    fn interpreters(&self) -> Vec<PathBuf> {
        let set = std::env::var_os("DUNLIN_PYTHON").map(PathBuf::from);
        let usual = ["target/python/bin/python", "python3"].map(PathBuf::from);
        self.pythons
            .iter()
            .cloned()
            .chain(set)
            .chain(usual)
            .collect()
    }
}

/// The library inside the package that `python` would import.
fn library_of(python: &Path) -> Option<PathBuf> {
    let script =
        "import importlib.util as u; s = u.find_spec('onnxruntime'); print(s.origin if s else '')";
    let output = Command::new(python).args(["-c", script]).output().ok()?;
    let origin = String::from_utf8(output.stdout).ok()?;
    let package = Path::new(origin.trim()).parent()?;
    let files = std::fs::read_dir(package.join("capi")).ok()?;
    let mut libraries: Vec<PathBuf> = files
        .flatten()
        .map(|file| file.path())
        .filter(|path| is_library(path))
        .collect();
    libraries.sort();
    libraries.pop()
}

fn is_library(path: &Path) -> bool {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let unix = name.starts_with("libonnxruntime.") && !name.contains("providers");
    (unix && (name.contains(".so") || name.ends_with(".dylib"))) || name == "onnxruntime.dll"
}

/// A model loaded by ONNX Runtime.
#[derive(Debug)]
pub struct OnnxRuntime {
    session: Session,
    shape: Vec<usize>,
}

impl OnnxRuntime {
    /// Loads the library where that was not done yet, and an ONNX file with one float32 input, for a
    /// batch of one. Runs on one thread.
    ///
    /// # Errors
    /// When there is no library, it is too old, the file has another kind of input, or it cannot be
    /// loaded; the reason says what would help.
    pub fn load(onnx: &[u8], options: &OnnxRuntimeOptions) -> Result<Self, BackendError> {
        let environment = environment(options)?;
        let shape = input_shape(onnx).map_err(|reason| BackendError::new(NAME, reason))?;
        let session = session(onnx, environment).map_err(|error| BackendError::new(NAME, error))?;
        Ok(Self { session, shape })
    }

    fn answer(&mut self, input: &[f32]) -> ort::Result<Answer> {
        let tensor = TensorRef::from_array_view((self.shape.clone(), input))?;
        let outputs = self.session.run(ort::inputs![tensor])?;
        let mut answer = Answer {
            label: None,
            scores: Vec::new(),
        };
        for (_, output) in &outputs {
            if let Ok((_, labels)) = output.try_extract_tensor::<i64>() {
                answer.label = answer.label.or(labels.first().map(|&label| label as i32));
            } else if let Ok((_, scores)) = output.try_extract_tensor::<f32>()
                && answer.scores.is_empty()
            {
                answer.scores = scores.to_vec();
            }
        }
        Ok(answer)
    }
}

/// The library, loaded where that was not done yet.
pub(super) fn environment(
    options: &OnnxRuntimeOptions,
) -> Result<&'static Environment, BackendError> {
    static LIBRARY: OnceLock<Result<Environment, String>> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| load_library(options));
    library
        .as_ref()
        .map_err(|reason| BackendError::new(NAME, reason))
}

fn load_library(options: &OnnxRuntimeOptions) -> Result<Environment, String> {
    let path = options.find().ok_or_else(|| format!("not found; {HELP}"))?;
    let unusable = |error: &dyn std::fmt::Display| format!("{}: {error}; {HELP}", path.display());
    let builder = ort::init_from(&path).map_err(|error| unusable(&error))?;
    builder.build().map_err(|error| unusable(&error))
}

fn session(onnx: &[u8], environment: &Environment) -> ort::Result<Session> {
    Session::builder(environment)?
        .with_intra_threads(1)?
        .commit_from_memory(onnx)
}

impl Backend for OnnxRuntime {
    fn name(&self) -> &str {
        NAME
    }

    fn run(&mut self, input: &[f32]) -> Result<Answer, BackendError> {
        self.answer(input)
            .map_err(|error| BackendError::new(NAME, error))
    }
}
