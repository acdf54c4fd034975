"""Kernel regression against linear solves, brute-force refits, scipy and scikit-learn."""

from collections.abc import Callable
from inspect import unwrap
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from scipy.optimize import minimize_scalar
from scipy.stats import multivariate_normal
from sklearn.kernel_ridge import KernelRidge
from torch import Tensor, nn

from untrained.analysis.blocks import Blocks, mixture, split
from untrained.analysis.regression import RIDGES, Regression, centred_one_hot, regression
from untrained.analysis.validation import validate
from untrained.kernels.ntk import ntk

N, M, K = 18, 11, 3


def task(rank: int = 40) -> tuple[Blocks, Tensor, Tensor]:
    """A kernel of `rank` features on N + M examples, and labels that depend on them."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(N + M, rank, generator=generator, dtype=torch.float64)
    noise = torch.randn(N + M, K, generator=generator, dtype=torch.float64)
    labels = (z[:, :K] + 0.3 * noise).argmax(1)
    return split(z @ z.T / rank, N), labels[:N], labels[N:]


@pytest.fixture
def fit() -> Regression:
    blocks, labels, _ = task()
    return regression(blocks.train, labels)


def test_the_grid_is_the_published_one() -> None:
    np.testing.assert_allclose(RIDGES, np.logspace(-7, 2, 20), rtol=1e-14)


def test_predictions_are_solutions_of_linear_systems(fit: Regression) -> None:
    blocks, labels, _ = task()
    y = np.eye(K)[labels] - 1 / K
    found = fit.predict(blocks.validation)
    for r, eps in enumerate(RIDGES):
        e = eps * np.trace(blocks.train) / N
        a = blocks.train.numpy() + e * np.eye(N)
        expected = blocks.validation.numpy() @ np.linalg.solve(a, y)
        np.testing.assert_allclose(found[r], expected, rtol=1e-6, atol=1e-9)
        ridge = KernelRidge(alpha=e, kernel="precomputed").fit(blocks.train.numpy(), y)
        np.testing.assert_allclose(found[r], ridge.predict(blocks.validation.numpy()), atol=1e-7)


def published(k_tt: np.ndarray, k_vt: np.ndarray, y_t: np.ndarray, y_v: np.ndarray) -> float:
    """The published algorithm, line by line."""
    best, y = 0.0, np.eye(K)[y_t] - 1 / K
    for eps in np.logspace(-7, 2, 20):
        a = k_tt + eps * np.trace(k_tt) / len(k_tt) * np.eye(len(k_tt))
        try:
            alpha = scipy.linalg.solve(a, y, assume_a="pos")
        except np.linalg.LinAlgError:
            continue
        best = max(best, float(((k_vt @ alpha).argmax(1) == y_v).mean()))
    return best


@pytest.mark.parametrize("rank", [2, 5, 40])
def test_published_accuracy(rank: int) -> None:
    blocks, y_t, y_v = task(max(rank, K))
    found = validate(blocks, y_t, y_v)
    arrays = [t.numpy() for t in (blocks.train, blocks.validation, y_t, y_v)]
    assert found.published_accuracy == published(*arrays)
    assert found.accuracy is not None
    assert found.accuracy <= found.published_accuracy


def test_leave_one_out_is_fitting_again_without_each(fit: Regression) -> None:
    blocks, labels, _ = task()
    k, y = blocks.train.numpy(), fit.targets.numpy()
    for r, e in enumerate(fit.noise.tolist()):
        predicted, surprise = np.empty_like(y), 0.0
        for i in range(N):
            others = np.arange(N) != i
            a = k[np.ix_(others, others)] + e * np.eye(N - 1)
            predicted[i] = k[i, others] @ np.linalg.solve(a, y[others])
            variance = k[i, i] + e - k[i, others] @ np.linalg.solve(a, k[others, i])
            variance *= fit.scale[r].item()
            surprise += (
                np.log(2 * np.pi * variance) + (y[i] - predicted[i]) ** 2 / variance
            ).sum()
        found = fit.leave_one_out
        assert found.squared_error[r].item() == pytest.approx(((predicted - y) ** 2).mean())
        accuracy = (predicted.argmax(1) == labels.numpy()).mean()
        assert found.accuracy is not None
        assert found.accuracy[r].item() == pytest.approx(accuracy)
        assert found.negative_log_likelihood is not None
        assert found.negative_log_likelihood[r].item() == pytest.approx(surprise / (2 * N * K))


def likelihood(scale: float, fit: Regression, r: int) -> float:
    a = task()[0].train.numpy() + fit.noise[r].item() * np.eye(N)
    normal = multivariate_normal(cov=scale * a)
    return sum(normal.logpdf(column) for column in fit.targets.T.numpy())


def test_marginal_likelihood_at_a_scale(fit: Regression) -> None:
    for scale in (1, 0.3):
        expected = [likelihood(scale, fit, r) for r in range(len(RIDGES))]
        found = fit.log_marginal_likelihood_at(scale)
        np.testing.assert_allclose(found, expected, rtol=1e-7)


def test_the_fitted_scale_maximises_the_marginal_likelihood(fit: Regression) -> None:
    for r in (0, 10, 19):
        best = minimize_scalar(lambda s, r=r: -likelihood(np.exp(s), fit, r), bounds=(-20, 20))
        assert fit.scale[r].item() == pytest.approx(np.exp(best.x), rel=1e-3)
        assert fit.log_marginal_likelihood[r].item() == pytest.approx(-best.fun, rel=1e-7)


def test_likelihood_of_validation_examples_is_joint_over_marginal(fit: Regression) -> None:
    """log p(y_v | Y) = log p(y_v, Y) - log p(Y), one validation example at a time."""
    blocks, _, y_v = task()
    assert blocks.prior is not None
    targets = centred_one_hot(y_v, K)
    found = fit.errors(blocks.validation, y_v, blocks.prior).negative_log_likelihood
    assert found is not None
    for r in (0, 7, 19):
        e, total = fit.noise[r].item(), 0.0
        for v in range(M):
            cross = blocks.validation[v : v + 1]
            joint = torch.cat(
                [
                    torch.cat([blocks.train, cross.T], 1),
                    torch.cat([cross[0], blocks.prior[v, None]])[None],
                ]
            )
            cov = fit.scale[r].item() * (joint.numpy() + e * np.eye(N + 1))
            for k in range(K):
                y = np.append(fit.targets[:, k], targets[v, k])
                total += multivariate_normal(cov=cov).logpdf(y)
                total -= multivariate_normal(cov=cov[:N, :N]).logpdf(y[:N])
        assert found[r].item() == pytest.approx(-total / (M * K), rel=1e-6)


def test_nothing_depends_on_the_units_of_the_kernel() -> None:
    blocks, y_t, y_v = task()
    assert blocks.prior is not None
    scaled = Blocks(1e6 * blocks.train, 1e6 * blocks.validation, 1e6 * blocks.prior)
    one, other = validate(blocks, y_t, y_v), validate(scaled, y_t, y_v)
    for field in ("published_accuracy", "squared_error", "negative_log_likelihood", "ridge"):
        assert getattr(one, field) == pytest.approx(getattr(other, field))
    assert one.log_marginal_likelihood == pytest.approx(other.log_marginal_likelihood)


def test_choices_of_the_ridge(fit: Regression) -> None:
    assert fit.best("leave_one_out") == int(fit.leave_one_out.squared_error.argmin())
    assert fit.best("log_marginal_likelihood") == int(fit.log_marginal_likelihood.argmax())
    blocks, y_t, y_v = task()
    for by in ("leave_one_out", "log_marginal_likelihood"):
        found, best = validate(blocks, y_t, y_v, by=by), fit.best(by)
        errors = fit.errors(blocks.validation, y_v)
        assert found.ridge == fit.ridges[best].item()
        assert found.squared_error == errors.squared_error[best].item()


def test_duplicates_are_solved_by_a_ridge_and_tiny_ridges_are_skipped() -> None:
    blocks, y_t, _ = task(rank=4)
    fit = regression(blocks.train, y_t, ridges=(1e-20, 1e-3, 1.0))
    assert fit.ridges.tolist() == [1e-3, 1.0]
    assert len(fit.skipped) == 1
    assert "1.0e-20" in fit.skipped[0]
    expected = np.linalg.solve(
        blocks.train.numpy() + fit.noise[0].item() * np.eye(N), fit.targets.numpy()
    )
    found = fit.predict(blocks.validation)[0]
    np.testing.assert_allclose(found, blocks.validation.numpy() @ expected, rtol=1e-8, atol=1e-10)


def test_a_kernel_in_float32_resolves_less() -> None:
    blocks, y_t, _ = task(rank=4)
    single = regression(blocks.train.float(), y_t)
    assert 0 < len(single.ridges) < len(RIDGES)
    assert len(regression(blocks.train, y_t).ridges) == len(RIDGES)


def near_equal(seed: int, near: float = 1e-5) -> tuple[Any, Tensor]:
    """A kernel of ours whose products are in float32, two examples being nearly equal; exact."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(6, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())
    net.append(nn.Linear(128, K))
    x = torch.randn(2 * N, 6)
    x = torch.cat([x[:1] + near, x])
    found = ntk(net, x, precision="float32")
    return found, ntk(net.double(), x.double(), method="loop").as_subclass(Tensor)


@pytest.mark.parametrize("seed", range(10))
def test_kernels_of_ours_are_never_refused(seed: int) -> None:
    """Ridges that their rounding would drown are skipped; the others give what exact ones give."""
    theta, exact = near_equal(seed)
    labels = torch.arange(N) % K
    fit = regression(theta[:N, :N], labels)
    truth = regression(exact[:N, :N], labels, ridges=fit.ridges.tolist())
    assert 5 < len(fit.ridges) < len(RIDGES)
    assert "is below resolution" in fit.skipped[0]
    assert not truth.skipped
    torch.testing.assert_close(
        fit.predict(theta[N:, :N]), truth.predict(exact[N:, :N]), rtol=0.01, atol=0.01
    )
    torch.testing.assert_close(
        fit.leave_one_out.squared_error, truth.leave_one_out.squared_error, rtol=0.01, atol=0
    )
    for made in (theta[:N, :N] / 10, (theta + theta.T)[:N, :N], theta[:N, :N].float()):
        again = regression(made, labels)
        assert set(again.ridges.tolist()) <= set(fit.ridges.tolist())


@pytest.mark.parametrize("near", [0.0, 1e-6, 1e-5, 1e-3])
@pytest.mark.parametrize("n", [2, 3, 2 * N + 1])
def test_kernels_of_few_examples_are_never_refused(n: int, near: float) -> None:
    theta, _ = near_equal(n, near)
    assert len(regression(theta[:n, :n], torch.arange(n) % 2).ridges)


def test_noise_that_a_matrix_does_not_tell_of_shows_in_a_negative_eigenvalue() -> None:
    """A kernel of ours by way of NumPy: a plain matrix whose eigenvalues are noise below zero."""
    q, _ = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))
    labels = torch.tensor([0, 1, 0, 1, 1])
    rounded = q @ torch.tensor([-2e-7, 1e-8, 0.1, 0.5, 1.0]).double().diag() @ q.T
    fit = regression((rounded + rounded.T) / 2, labels)
    assert (fit.eigenvalues[:2] == 0).all()
    assert 0 < len(fit.ridges) < len(RIDGES)
    assert "resolution 2.0e-07" in fit.skipped[0]
    for smallest in (-1e-6, -1e-3, -1.0):
        foreign = q @ torch.tensor([smallest, 0.1, 0.1, 0.5, 1.0]).double().diag() @ q.T
        with pytest.raises(ValueError, match="positive semi-definite"):
            regression((foreign + foreign.T) / 2, labels)


def test_differences_of_kernels_of_ours_are_no_kernels() -> None:
    theta, _ = near_equal(0)
    with pytest.raises(ValueError, match="positive semi-definite"):
        regression(theta[:N, :N] - theta[N : 2 * N, N : 2 * N], torch.arange(N) % K)


@pytest.mark.parametrize(("value", "reason"), [(0.0, "zero"), (float("nan"), "NaN")])
def test_kernels_without_an_answer(value: float, reason: str) -> None:
    kernel = torch.full((4, 4), value, dtype=torch.float64)
    labels = torch.tensor([0, 1, 0, 1])
    fit = regression(kernel, labels)
    assert not len(fit.ridges)
    assert reason in fit.skipped[0]
    found = validate(Blocks(kernel, kernel), labels, labels)
    assert found.published_accuracy is None
    assert found.ridge is None
    assert reason in found.reason
    with pytest.raises(ValueError, match="no ridge is resolved"):
        fit.best()


def test_a_constant_kernel_knows_the_commonest_class_only() -> None:
    labels = torch.tensor([0, 1, 1, 1, 2, 2])
    kernel = torch.ones(6, 6, dtype=torch.float64)
    found = validate(Blocks(kernel, kernel), labels, labels)
    assert found.published_accuracy == 0.5


def test_targets_of_one_column_have_no_accuracy() -> None:
    blocks, _, _ = task()
    fit = regression(blocks.train, torch.arange(float(N))[:, None])
    assert fit.leave_one_out.accuracy is None
    assert fit.leave_one_out.squared_error.isfinite().all()


def test_mixtures() -> None:
    a, b = task()[0], task(rank=5)[0]
    assert a.prior is not None
    mixed = mixture(a, Blocks(b.train * 100, b.validation * 100, b.prior), 0.25)
    assert mixed.train.trace().item() == pytest.approx(N)
    one, other = a.train.trace() / N, b.train.trace() / N
    torch.testing.assert_close(mixed.train, 0.25 * a.train / one + 0.75 * b.train / other)
    cross = 0.25 * a.validation / one + 0.75 * b.validation / other
    torch.testing.assert_close(mixed.validation, cross)
    torch.testing.assert_close(mixture(a, b, 1).prior, a.prior / one)
    assert mixture(a, b._replace(prior=None), 0.5).prior is None


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_is_between_0_and_1(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        mixture(task()[0], task()[0], share)


def test_a_mixture_needs_traces() -> None:
    zero = Blocks(torch.zeros(3, 3), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="mean diagonal"):
        mixture(zero, zero, 0.5)


def test_targets_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="expected finite targets, got NaN or infinity"):
        regression(torch.eye(3), torch.tensor([[1.0], [torch.nan], [0.0]]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": torch.tensor([0, 3, 1])}, "labels from 0 to 1"),
        ({"labels": torch.zeros(3, 2)}, "all zero"),
        ({"ridges": (0.0,)}, "positive and finite ridges"),
        ({"kernel": -torch.eye(3)}, "positive semi-definite"),
    ],
)
def test_wrong_use(arguments: dict[str, Any], message: str) -> None:
    given = {"kernel": torch.eye(3), "labels": torch.tensor([0, 1, 1]), "classes": 2, **arguments}
    with pytest.raises(ValueError, match=message):
        regression(given.pop("kernel"), given.pop("labels"), **given)


def test_wrong_shapes_and_words_say_what_was_expected() -> None:
    """Without the type checker of this suite, which would speak first."""
    k, y, solve = torch.eye(3), torch.tensor([0, 1, 1]), unwrap(regression)
    fit = solve(k, y)
    wrong: dict[str, Callable[[], object]] = {
        "square kernel": lambda: solve(k[:2], y),
        "2 labels": lambda: solve(k, y[:2]),
        "class numbers": lambda: solve(k, torch.ones(3)),
        "transpose": lambda: unwrap(type(fit).predict)(fit, torch.ones(4, 2)),
        "unknown choice": lambda: unwrap(type(fit).best)(fit, "validation"),
    }
    for words, call in wrong.items():
        with pytest.raises(ValueError, match=words):
            call()


@pytest.mark.parametrize("rank", [1, 5, N - 1])
def test_few_features_give_the_same_answers_as_their_kernel(rank: int) -> None:
    generator = torch.Generator().manual_seed(rank)
    z = torch.randn(N + M, rank, generator=generator, dtype=torch.float64)
    labels = torch.randint(K, (N + M,), generator=generator)
    blocks = split(z @ z.T, N)
    ridges = RIDGES[6:]  # below, a solve of the whole kernel loses digits that these keep
    options: dict[str, Any] = {"classes": K, "ridges": ridges}
    whole = regression(blocks.train, labels[:N], **options)
    few = regression(blocks.train, labels[:N], features=z[:N], **options)
    assert few.missing == N - rank
    assert not whole.missing
    torch.testing.assert_close(few.log_marginal_likelihood, whole.log_marginal_likelihood)
    torch.testing.assert_close(
        few.predict(blocks.validation), whole.predict(blocks.validation), rtol=1e-6, atol=1e-8
    )
    by_few, by_whole = (
        f.errors(blocks.validation, labels[N:], blocks.prior) for f in (few, whole)
    )
    for a, b in ((few.leave_one_out, whole.leave_one_out), (by_few, by_whole)):
        torch.testing.assert_close(a.accuracy, b.accuracy)
        torch.testing.assert_close(a.squared_error, b.squared_error, rtol=1e-6, atol=0)
        torch.testing.assert_close(
            a.negative_log_likelihood, b.negative_log_likelihood, rtol=1e-6, atol=1e-8
        )
