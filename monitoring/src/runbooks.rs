//! The runbooks, taken along by the program: whoever is woken may have nothing else at hand.

macro_rules! pages {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../runbooks/", $name, ".md")))),*]
    };
}

/// A page for each alert, by name.
pub const RUNBOOKS: &[(&str, &str)] = pages! {
    "QuorateSchedulerDown"
    "QuorateConvicted"
    "QuorateSettlementStuck"
    "QuorateOutboxTrouble"
    "QuorateBondHeadroomLow"
    "QuorateNoWorkers"
    "QuorateQueueStalled"
    "QuorateDissentHigh"
    "QuoratePromiseBroken"
    "QuorateWorkersComplain"
    "QuorateFailureRatioHigh"
    "QuorateUnschedulable"
    "QuorateWorkerChurnHigh"
    "QuorateGasRunwayLow"
    "QuorateChainNodesFail"
    "QuorateChainSilent"
    "QuorateClockBehind"
    "QuorateTransactionsUnfinished"
    "QuorateJournalSlow"
    "QuorateGridSlow"
    "QuorateDiskRunwayLow"
    "QuorateBlobStoreFull"
    "QuorateFilesRunOut"
    "QuorateRestarts"
    "QuorateHttpErrors"
    "QuorateBackupStale"
};
