use crate::tape::tape::Var;
use crate::task::field::Field;
use crate::task::measure::Metric;
use crate::task::target::Target;
use crate::task::task::Task;
use crate::task::task_rows::TaskRows;

/// Stands for a kind of task that was read and that the program does not know yet. All but the id panics.
#[derive(Debug)]
pub(crate) struct Unresolved {
    id: String,
}

impl Unresolved {
    pub(crate) fn new(id: String) -> Self {
        Unresolved { id }
    }

    fn missing(&self) -> ! {
        panic!("the kind of task \"{}\" is used before TaskKinds::resolve has replaced it", self.id)
    }
}

impl Task for Unresolved {
    fn id(&self) -> &str {
        &self.id
    }

    fn outputs(&self) -> usize {
        self.missing()
    }

    fn loss<'t>(&self, _prediction: Var<'t>, _target: &Target) -> Var<'t> {
        self.missing()
    }

    fn losses(&self, _rows: &TaskRows) -> Vec<f64> {
        self.missing()
    }

    fn metrics(&self) -> Vec<Metric<'_>> {
        self.missing()
    }

    fn fields(&self) -> Vec<Field> {
        self.missing()
    }
}
