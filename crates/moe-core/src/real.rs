/// The one float type of the workspace: `f32`, or `f64` with the feature `f64`.
///
/// Every signature uses it; nothing is generic over floats. Files are read and written through
/// explicit casts, so that weights move between both builds.
#[cfg(not(feature = "f64"))]
pub type Real = f32;

/// The one float type of the workspace: `f32`, or `f64` with the feature `f64`.
///
/// Every signature uses it; nothing is generic over floats. Files are read and written through
/// explicit casts, so that weights move between both builds.
#[cfg(feature = "f64")]
pub type Real = f64;
