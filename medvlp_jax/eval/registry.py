"""The evaluators by name, and running several of them over shared embeddings."""

from collections.abc import Mapping

from medvlp_jax.eval.base import EvalError, EvalResult, Evaluator, PredictFn
from medvlp_jax.eval.context import EvaluatorType
from medvlp_jax.eval.downstream.detection import Detection
from medvlp_jax.eval.downstream.few_shot import FewShot
from medvlp_jax.eval.downstream.finetune import Finetune
from medvlp_jax.eval.downstream.probe import Probe
from medvlp_jax.eval.downstream.segmentation import Segmentation
from medvlp_jax.eval.grounding.evaluator import Grounding
from medvlp_jax.eval.grounding.phrase_pictures import PhrasePictures
from medvlp_jax.eval.labelled.average_precision import AveragePrecision
from medvlp_jax.eval.labelled.classification import Classification
from medvlp_jax.eval.labelled.dice import Dice
from medvlp_jax.eval.matching.captioning import Captioning
from medvlp_jax.eval.matching.gradcam import GradCam
from medvlp_jax.eval.matching.reranked import Reranked
from medvlp_jax.eval.modalities.counterfactual import Counterfactual
from medvlp_jax.eval.modalities.recognition import Recognition
from medvlp_jax.eval.modalities.within import ByModality
from medvlp_jax.eval.retrieval import Retrieval
from medvlp_jax.eval.zeroshot.baselines import Baseline
from medvlp_jax.eval.zeroshot.evaluator import ZeroShot

#: A config's word -> the class that measures it. There is no other registry of evaluators.
EVALUATORS: dict[str, type[EvaluatorType]] = {
    "zeroshot": ZeroShot,
    "modality": Recognition,
    "by_modality": ByModality,
    "counterfactual": Counterfactual,
    "retrieval": Retrieval,
    "reranked": Reranked,
    "captioning": Captioning,
    "grounding": Grounding,
    "gradcam": GradCam,
    "baseline": Baseline,
    "pictures": PhrasePictures,
    "classification": Classification,
    "dice": Dice,
    "average_precision": AveragePrecision,
    "probe": Probe,
    "few_shot": FewShot,
    "finetune": Finetune,
    "segmentation": Segmentation,
    "detection": Detection,
}


def evaluate(evaluators: Mapping[str, Evaluator], predict: PredictFn) -> dict[str, EvalResult]:
    """Runs ``evaluators`` in order; those that share an ``Embedded`` read its set once.

    An error is raised again with the evaluator's name in front, so that a log of many sets tells
    which one failed.
    """
    results = {}
    for name, evaluator in evaluators.items():
        try:
            results[name] = evaluator(predict)
        except EvalError as e:
            raise EvalError(f"evaluator {name!r}: {e}") from e
    return results


def flat_metrics(results: Mapping[str, EvalResult]) -> dict[str, float]:
    """``{'test-zeroshot/auc_macro': 0.91, ...}``: the form that a metric log takes."""
    return {
        f"{name}/{key}": value
        for name, result in results.items()
        for key, value in result.metrics.items()
    }
