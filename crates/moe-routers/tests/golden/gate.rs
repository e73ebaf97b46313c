//! What the cases of gates have in common: parameters, a routing, a loss, gradients.

use moe_core::dispatch::Assignments;
use moe_core::tape::{Gradients, Tape, Var};
use moe_core::{Mode, Tensor, Visit, VisitMut};
use moe_routers::aux_loss::total_loss;
use moe_routers::{GateSet, Gates, RouteContext, Router, Routing};

use crate::common;
use crate::schema::{Case, doubles, real};

/// A parameter of the gate and the input that holds it, whose elements may lie in another order.
pub(crate) struct Parameter {
    /// As the gate set reports it.
    pub(crate) name: &'static str,
    /// As the case names it.
    pub(crate) input: &'static str,
    /// Of the input.
    pub(crate) shape: Vec<usize>,
    /// Of the parameter.
    pub(crate) own_shape: Vec<usize>,
    /// For each element of the parameter, its position in the input.
    pub(crate) places: Vec<usize>,
}

impl Parameter {
    /// One that is stored alike.
    pub(crate) fn same(name: &'static str, input: &'static str, shape: &[usize]) -> Self {
        let places = (0..shape.iter().product()).collect();
        Parameter { name, input, shape: shape.into(), own_shape: shape.into(), places }
    }

    /// A matrix that is stored `[rows, cols]` in the case and transposed in the gate.
    pub(crate) fn turned(
        name: &'static str,
        input: &'static str,
        rows: usize,
        cols: usize,
    ) -> Self {
        let places = (0..rows * cols).map(|i| i % rows * cols + i / rows).collect();
        let (shape, own_shape) = (vec![rows, cols], vec![cols, rows]);
        Parameter { name, input, shape, own_shape, places }
    }

    /// Gives the gate the numbers of the case.
    pub(crate) fn set(&self, case: &Case<'_>, gates: &mut dyn GateSet) -> Result<(), String> {
        let input = case.input(self.input, &self.shape)?;
        let values: Vec<f64> = self.places.iter().map(|&at| input[at]).collect();
        common::set(gates, self.name, &real(&values, &self.own_shape));
        Ok(())
    }

    /// Compares its gradient with that of its input.
    pub(crate) fn compare(&self, case: &Case<'_>, gradient: &Tensor) -> Result<(), String> {
        let mut found = vec![0.0; gradient.len()];
        for (&at, value) in self.places.iter().zip(doubles(gradient)) {
            found[at] = value;
        }
        case.compare_grad(self.input, &found, &self.shape)
    }
}

/// A router that is given the noise of a case.
struct GivenNoise<R> {
    router: R,
    noise: Tensor,
    route: RouteWithNoise<R>,
}

type RouteWithNoise<R> = for<'t> fn(&R, Var<'t>, Tensor) -> Routing<'t>;

/// One gate that is `router` with the noise of the case.
pub(crate) fn given_noise<R: Router + 'static>(
    case: &Case<'_>,
    router: R,
    route: RouteWithNoise<R>,
) -> Result<Box<dyn GateSet>, String> {
    let shape = [case.count("B")?, case.count("n_experts")?];
    let noise = real(&case.input("noise", &shape)?, &shape);
    Ok(Box::new(Gates::new(vec![Box::new(GivenNoise { router, noise, route })])))
}

impl<R: Router> Router for GivenNoise<R> {
    fn num_experts(&self) -> usize {
        self.router.num_experts()
    }

    fn route<'t>(&self, _cx: &RouteContext<'_>, x: Var<'t>) -> Routing<'t> {
        (self.route)(&self.router, x, self.noise.clone())
    }

    fn visit(&self, f: &mut Visit<'_>) {
        self.router.visit(f);
    }

    fn visit_mut(&mut self, f: &mut VisitMut<'_>) {
        self.router.visit_mut(f);
    }
}

/// The factor with which K experts for each row make the capacity of the case.
pub(crate) fn capacity_factor(case: &Case<'_>, k: usize) -> Result<f64, String> {
    let (rows, n) = (case.count("B")?, case.count("n_experts")?);
    // Half a row less, which is rounded up.
    Ok((case.number("capacity")? - 0.5) * n as f64 / (rows * k) as f64)
}

/// Checks gate 0 of a case with B rows of D inputs: weights, losses, and the gradients of `x` and of every parameter,
/// all of which must be in `parameters`. `sets` names the output with the experts of each row.
///
/// # Panics
/// If the permutation of the case is not a mere relabelling of the experts.
pub(crate) fn check_gate(
    case: &Case<'_>,
    gates: &mut dyn GateSet,
    mode: Mode,
    parameters: &[Parameter],
    sets: Option<&str>,
) -> Result<(), String> {
    for parameter in parameters {
        parameter.set(case, gates)?;
    }
    let (rows, d) = (case.count("B")?, case.count("D")?);
    let tape = Tape::new();
    let x = tape.variable(real(&case.input("x", &[rows, d])?, &[rows, d]));
    let routing = common::route(gates, x, mode).remove(0);
    if let Some(key) = sets {
        if key.ends_with("before_permutation") {
            case.compare_sets(key, &routing.assignments)?;
        } else {
            compare_relabelled_sets(case, key, &routing)?;
        }
    }
    let gradients = compare_routing(case, x, &routing)?;
    let of = common::gradients_of(gates, &gradients);
    assert_eq!(of.len(), parameters.len(), "every parameter is compared");
    parameters.iter().try_for_each(|parameter| parameter.compare(case, &of[parameter.name]))
}

/// Compares weights, losses and the gradient of `x`. Returns all gradients of the loss, which is the sum of `g` times
/// `C` plus the auxiliary losses.
///
/// # Panics
/// If the permutation of the case is not a mere relabelling of the experts.
pub(crate) fn compare_routing(
    case: &Case<'_>,
    x: Var<'_>,
    routing: &Routing<'_>,
) -> Result<Gradients, String> {
    let [rows, n] = [routing.assignments.rows(), routing.assignments.num_experts()];
    let labels = case.labels(n)?.expect("the permutation is a relabelling");
    let (mut g, dense) = (vec![0.0; rows * n], doubles(&routing.to_dense()));
    let c = case.input("C", &[rows, n])?;
    let mut own_c = vec![0.0; rows * n];
    for i in 0..rows * n {
        let relabelled = i / n * n + labels[i % n];
        g[relabelled] = dense[i];
        own_c[i] = c[relabelled];
    }
    case.compare("g", &g, &[rows, n])?;
    let tape = x.tape();
    let aux_losses = routing.aux_losses.iter();
    let aux: f64 = aux_losses.map(|loss| f64::from(loss.value.value().item())).sum();
    if case.has_output("aux_loss") {
        case.compare_number("aux_loss", aux)?;
    } else if aux != 0.0 {
        return Err(format!("an auxiliary loss of {aux}, where none is recorded"));
    }
    for loss in &routing.aux_losses {
        let key = format!("{}_loss", loss.name);
        // Where the case names a weight, its family compares the loss without it.
        if case.has_output(&key) && case.number(&format!("{key}_weight")).is_err() {
            case.compare_number(&key, f64::from(loss.value.value().item()))?;
        }
    }
    let c = tape.constant(real(&own_c, &[rows, n])).gather_assigned(&routing.assignments);
    let loss = total_loss((routing.weights * c).sum(), &routing.aux_losses);
    case.compare_number("loss", f64::from(loss.value().item()))?;
    let gradients = tape.backward(loss);
    if case.has_grad("x") {
        let shape = x.shape();
        let gradient = gradients.wrt(x).unwrap_or_else(|| Tensor::zeros(shape));
        case.compare_grad("x", &doubles(&gradient), &shape)?;
    }
    Ok(gradients)
}

/// [`compare_sets`], after the relabelling of the case.
fn compare_relabelled_sets(
    case: &Case<'_>,
    key: &str,
    routing: &Routing<'_>,
) -> Result<(), String> {
    let [rows, n] = [routing.assignments.rows(), routing.assignments.num_experts()];
    let labels = case.labels(n)?.expect("the permutation is a relabelling");
    let mut weights = vec![0.0; rows * n];
    for (i, &weight) in doubles(&routing.to_dense()).iter().enumerate() {
        weights[i / n * n + labels[i % n]] = weight;
    }
    let experts = |row| routing.assignments.of_row(row).iter().map(|&e| labels[e as usize] as u32);
    let sets: Vec<Vec<u32>> = (0..rows).map(|row| experts(row).collect()).collect();
    compare_sets(case, key, &Assignments::from_rows(n, sets), &weights)
}

/// Compares the experts of each row. Weights that may vanish in single precision, or in another exponential function, do not
/// count.
///
/// # Shapes
/// `weights` `[B, N]`, zero where there is no pair
pub(crate) fn compare_sets(
    case: &Case<'_>,
    key: &str,
    assignments: &Assignments,
    weights: &[f64],
) -> Result<(), String> {
    const VANISHES: f64 = 1e-37;
    let n = assignments.num_experts();
    let g = case.output("g", &[assignments.rows(), n])?;
    case.compare_sets_where(key, assignments, |row, expert| {
        g[row * n + expert].max(weights[row * n + expert]) > VANISHES
    })
}
