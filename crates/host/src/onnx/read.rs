//! Typed access to tensors, attributes and types of a decoded model.

use super::OnnxError;
use super::proto::{
    AttributeProto, DataType, DimensionValue, GraphProto, ModelProto, NodeProto, TensorProto,
    TypeValue, ValueInfoProto,
};

impl ModelProto {
    /// The graph.
    ///
    /// # Errors
    /// [`OnnxError::NoGraph`].
    pub fn graph(&self) -> Result<&GraphProto, OnnxError> {
        self.graph.as_ref().ok_or(OnnxError::NoGraph)
    }

    /// The value stored under `key`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata_props
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| entry.value.as_str())
    }

    /// The imported version of an operator set; `""` and `"ai.onnx"` are the same domain.
    pub fn opset(&self, domain: &str) -> Option<i64> {
        let canonical = |name: &str| {
            if name == "ai.onnx" {
                String::new()
            } else {
                name.to_owned()
            }
        };
        let wanted = canonical(domain);
        self.opset_import
            .iter()
            .find(|set| canonical(&set.domain) == wanted)
            .map(|set| set.version)
    }
}

impl GraphProto {
    /// The constant of that name. Cost: linear in the number of constants.
    pub fn initializer(&self, name: &str) -> Option<&TensorProto> {
        self.initializer.iter().find(|tensor| tensor.name == name)
    }

    /// Inputs that are not constants.
    pub fn true_inputs(&self) -> impl Iterator<Item = &ValueInfoProto> {
        self.input
            .iter()
            .filter(|input| self.initializer(&input.name).is_none())
    }

    /// Index of the node that makes `value`.
    pub fn producer(&self, value: &str) -> Option<usize> {
        self.node
            .iter()
            .position(|node| node.output.iter().any(|output| output == value))
    }

    /// Indices of the nodes that take `value`, in order.
    pub fn consumers<'a>(&'a self, value: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.node
            .iter()
            .enumerate()
            .filter(move |(_, node)| node.input.iter().any(|input| input == value))
            .map(|(index, _)| index)
    }
}

impl NodeProto {
    /// The attribute of that name.
    pub fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.attribute
            .iter()
            .find(|attribute| attribute.name == name)
    }

    /// An integer attribute.
    pub fn int(&self, name: &str) -> Option<i64> {
        self.attribute(name)?.i
    }

    /// A float attribute.
    pub fn float(&self, name: &str) -> Option<f32> {
        self.attribute(name)?.f
    }

    /// A string attribute, `None` also when it is not UTF-8.
    pub fn string(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.attribute(name)?.s.as_deref()?).ok()
    }

    /// An integer list; `None` when absent.
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        Some(&self.attribute(name)?.ints)
    }

    /// A float list; `None` when absent.
    pub fn floats(&self, name: &str) -> Option<&[f32]> {
        Some(&self.attribute(name)?.floats)
    }

    /// A string list; `None` when absent or not UTF-8.
    pub fn strings(&self, name: &str) -> Option<Vec<&str>> {
        self.attribute(name)?
            .strings
            .iter()
            .map(|bytes| std::str::from_utf8(bytes).ok())
            .collect()
    }

    /// A tensor attribute.
    pub fn tensor(&self, name: &str) -> Option<&TensorProto> {
        self.attribute(name)?.t.as_ref()
    }

    /// The `index`-th input's name; `None` when it is left out.
    pub fn input_name(&self, index: usize) -> Option<&str> {
        self.input
            .get(index)
            .map(String::as_str)
            .filter(|name| !name.is_empty())
    }
}

impl TensorProto {
    /// Element type.
    ///
    /// # Errors
    /// [`OnnxError::Tensor`] when the type is not known.
    pub fn element_type(&self) -> Result<DataType, OnnxError> {
        DataType::from_code(self.data_type)
            .ok_or_else(|| self.fault(format!("unknown data type {}", self.data_type)))
    }

    /// Extents.
    ///
    /// # Errors
    /// [`OnnxError::Tensor`] when an extent is negative or the number of elements overflows.
    pub fn shape(&self) -> Result<Vec<usize>, OnnxError> {
        let extents: Option<Vec<usize>> = self
            .dims
            .iter()
            .map(|&extent| usize::try_from(extent).ok())
            .collect();
        extents
            .filter(|extents| {
                extents
                    .iter()
                    .try_fold(1usize, |product, &extent| product.checked_mul(extent))
                    .is_some()
            })
            .ok_or_else(|| self.fault(format!("shape {:?} is out of range", self.dims)))
    }

    /// Values of a `Float` tensor, row-major.
    ///
    /// # Errors
    /// [`OnnxError::Tensor`] when the type differs or the number of values is not the shape's.
    pub fn to_f32(&self) -> Result<Vec<f32>, OnnxError> {
        self.expect(DataType::Float)?;
        let values = match &self.raw_data {
            Some(raw) => chunks(raw).map(f32::from_le_bytes).collect(),
            None => self.float_data.clone(),
        };
        self.counted(values)
    }

    /// Values of an `Int64` tensor, row-major.
    ///
    /// # Errors
    /// As [`TensorProto::to_f32`].
    pub fn to_i64(&self) -> Result<Vec<i64>, OnnxError> {
        self.expect(DataType::Int64)?;
        let values = match &self.raw_data {
            Some(raw) => chunks(raw).map(i64::from_le_bytes).collect(),
            None => self.int64_data.clone(),
        };
        self.counted(values)
    }

    /// Values of an `Int32` tensor, row-major.
    ///
    /// # Errors
    /// As [`TensorProto::to_f32`].
    pub fn to_i32(&self) -> Result<Vec<i32>, OnnxError> {
        self.expect(DataType::Int32)?;
        let values = match &self.raw_data {
            Some(raw) => chunks(raw).map(i32::from_le_bytes).collect(),
            None => self.int32_data.clone(),
        };
        self.counted(values)
    }

    /// Values of an `Int8` tensor, row-major.
    ///
    /// # Errors
    /// As [`TensorProto::to_f32`]; also when a value of the wide field does not fit.
    pub fn to_i8(&self) -> Result<Vec<i8>, OnnxError> {
        self.expect(DataType::Int8)?;
        let values = match &self.raw_data {
            Some(raw) => raw.iter().map(|&byte| byte as i8).collect(),
            None => self.narrowed()?,
        };
        self.counted(values)
    }

    /// Values of a `Uint8` tensor, row-major.
    ///
    /// # Errors
    /// As [`TensorProto::to_i8`].
    pub fn to_u8(&self) -> Result<Vec<u8>, OnnxError> {
        self.expect(DataType::Uint8)?;
        let values = match &self.raw_data {
            Some(raw) => raw.clone(),
            None => self.narrowed()?,
        };
        self.counted(values)
    }

    /// Values of a `Bool` tensor as 1 and 0, row-major.
    ///
    /// # Errors
    /// As [`TensorProto::to_f32`].
    pub fn to_bool(&self) -> Result<Vec<i64>, OnnxError> {
        self.expect(DataType::Bool)?;
        let values = match &self.raw_data {
            Some(raw) => raw.iter().map(|&byte| i64::from(byte != 0)).collect(),
            None => {
                let truth = self.int32_data.iter();
                truth.map(|&value| i64::from(value != 0)).collect()
            }
        };
        self.counted(values)
    }

    fn narrowed<T: TryFrom<i32>>(&self) -> Result<Vec<T>, OnnxError> {
        let values: Option<Vec<T>> = self
            .int32_data
            .iter()
            .map(|&value| T::try_from(value).ok())
            .collect();
        values.ok_or_else(|| self.fault("a value does not fit its type".into()))
    }

    fn expect(&self, wanted: DataType) -> Result<(), OnnxError> {
        if self.data_location != 0 || !self.external_data.is_empty() {
            return Err(self.fault("values outside of the file are not supported".into()));
        }
        let got = self.element_type()?;
        let partial = self
            .raw_data
            .as_ref()
            .is_some_and(|raw| raw.len() % got.element_bytes().unwrap_or(1) != 0);
        match got == wanted {
            true if !partial => Ok(()),
            true => Err(self.fault("raw data ends inside of an element".into())),
            false => Err(self.fault(format!("is {got:?}, not {wanted:?}"))),
        }
    }

    fn counted<T>(&self, values: Vec<T>) -> Result<Vec<T>, OnnxError> {
        let wanted: usize = self.shape()?.iter().product();
        match values.len() == wanted {
            true => Ok(values),
            false => Err(self.fault(format!(
                "has {} values, its shape {:?} needs {wanted}",
                values.len(),
                self.dims
            ))),
        }
    }

    fn fault(&self, reason: String) -> OnnxError {
        OnnxError::Tensor {
            name: self.name.clone(),
            reason,
        }
    }
}

impl ValueInfoProto {
    /// Element type of a dense tensor.
    pub fn element_type(&self) -> Option<DataType> {
        match self.r#type.as_ref()?.value.as_ref()? {
            TypeValue::Tensor(tensor) => DataType::from_code(tensor.elem_type),
            _ => None,
        }
    }

    /// Extents of a dense tensor, `None` inside for a named or unknown extent; `None` when the rank is unknown.
    pub fn extents(&self) -> Option<Vec<Option<usize>>> {
        let TypeValue::Tensor(tensor) = self.r#type.as_ref()?.value.as_ref()? else {
            return None;
        };
        let extent = |value: &Option<DimensionValue>| match value {
            Some(DimensionValue::Value(number)) => usize::try_from(*number).ok(),
            _ => None,
        };
        Some(
            tensor
                .shape
                .as_ref()?
                .dim
                .iter()
                .map(|dimension| extent(&dimension.value))
                .collect(),
        )
    }
}

fn chunks<const N: usize>(raw: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    raw.chunks_exact(N)
        .filter_map(|chunk| chunk.try_into().ok())
}
