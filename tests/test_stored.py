"""Kernels in files, against the same in memory; conjugate gradients with a preconditioner."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.sparse.linalg import aslinearoperator
from torch import Tensor

from untrained import spectrum
from untrained.analysis import (
    Kernel,
    StoredKernel,
    descent_weights,
    nystrom_preconditioner,
    spectral_density,
    stored,
)
from untrained.kernels import conjugate_gradients, largest_eigenvalues

RNG = np.random.default_rng(0)


def kernel(n: int = 90, decay: float = 1.5) -> np.ndarray:
    """With eigenvalues i^-decay."""
    u = np.linalg.qr(RNG.standard_normal((n, n)))[0]
    k = u * np.arange(1.0, n + 1) ** -decay @ u.T
    return (k + k.T) / 2


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several of them, the last smaller, in small kernels too."""
    monkeypatch.setattr(stored, "BLOCK", 8 * 90 * 7)


def saved(folder: Path, k: np.ndarray, *, symmetric: bool = True) -> StoredKernel:
    np.save(folder / "k.npy", k)
    return StoredKernel(folder / "k.npy", symmetric=symmetric)


@pytest.mark.usefixtures("blocks")
def test_products(tmp_path: Path) -> None:
    k, v = kernel(), RNG.standard_normal((90, 4))
    theta = saved(tmp_path, k)
    assert_allclose(theta @ v, k @ v, rtol=1e-12)
    assert_allclose(theta @ v[:, 0], k @ v[:, 0], rtol=1e-12)
    assert_allclose(theta.T @ v, k @ v, rtol=1e-12)
    assert_allclose(theta.diagonal(), np.diag(k))


@pytest.mark.usefixtures("blocks")
def test_products_with_a_kernel_of_two_batches(tmp_path: Path) -> None:
    k = RNG.standard_normal((50, 90)).astype(np.float32)
    theta = saved(tmp_path, k, symmetric=False)
    v, u = RNG.standard_normal((90, 2)), RNG.standard_normal((50, 2))
    assert_allclose(theta @ v, k.astype(float) @ v, rtol=1e-12)
    assert_allclose(theta.T @ u, k.T.astype(float) @ u, rtol=1e-12)
    assert_allclose(theta.T @ u[:, 1], k.T.astype(float) @ u[:, 1], rtol=1e-12)


def test_parts_are_kernels_that_know_their_rounding(tmp_path: Path) -> None:
    k = kernel().astype(np.float32)
    theta = saved(tmp_path, k)
    part = theta[:10, [3, 20, 4]]
    assert isinstance(part, Kernel)
    assert_allclose(part, k[:10, [3, 20, 4]])
    assert theta[[1, 2], :].shape == (2, 90)
    assert part.rounding.entries == 2.0**-24
    found = spectrum(theta[:, :])
    assert found.resolution == pytest.approx(90 * 2.0**-24)
    assert theta.resolution == theta[:, :].resolution
    first = StoredKernel(theta.path, symmetric=True, leading=30)
    assert_allclose(first @ np.eye(30), k[:30, :30].astype(float))


def test_what_products_tell(tmp_path: Path) -> None:
    """Spectra, densities and descent: as of a kernel that is held."""
    k = kernel()
    theta, b = saved(tmp_path, k), RNG.standard_normal(90)
    assert_allclose(largest_eigenvalues(theta, 3).values, np.arange(1.0, 4.0) ** -1.5)
    found, held = (
        spectral_density(each, generator=np.random.default_rng(1), steps=20, probes=2)
        for each in (theta, k)
    )
    assert_allclose(found.values, held.values, atol=1e-9)
    assert_allclose(descent_weights(theta, b, 5.0).value, descent_weights(k, b, 5.0).value)


def test_files_that_are_no_kernels(tmp_path: Path) -> None:
    for array, message in [
        (np.ones(3), "expected a matrix"),
        (np.ones((3, 3), dtype=int), "expected a matrix"),
        (np.ones((3, 4)), "expected a square matrix"),
    ]:
        with pytest.raises(ValueError, match=message):
            saved(tmp_path, array)
    np.save(tmp_path / "k.npy", np.ones((3, 3)))
    for symmetric, leading in [(True, 4), (True, 0), (False, 2)]:
        with pytest.raises(ValueError, match="1 to 3 leading rows"):
            StoredKernel(tmp_path / "k.npy", symmetric=symmetric, leading=leading)


# Regression


def solved(k: np.ndarray, y: Tensor, ridge: float) -> np.ndarray:
    return np.linalg.solve(k + ridge * np.eye(len(k)), y.numpy())


def test_a_preconditioner_saves_steps_and_changes_no_solution(tmp_path: Path) -> None:
    k = kernel(400)
    theta, y, ridge = saved(tmp_path, k), torch.randn(400, 3, dtype=torch.float64), 1e-4
    landmarks = RNG.choice(400, 120, replace=False).tolist()
    p = nystrom_preconditioner(theta[:, landmarks], landmarks, ridge)
    plain = conjugate_gradients(theta, y, ridge, tolerance=1e-10)
    helped = conjugate_gradients(theta, y, ridge, tolerance=1e-10, preconditioner=p)
    for found in (plain, helped):
        assert found.converged
        assert_allclose(found.alpha, solved(k, y, ridge), rtol=1e-6, atol=1e-6)
    assert helped.steps < plain.steps / 2


def test_columns_have_steps_of_their_own(tmp_path: Path) -> None:
    """One of zeros, an eigenvector, and one of all eigenvectors."""
    k = kernel(60)
    vector = np.linalg.eigh(k)[1][:, -1]
    y = torch.from_numpy(np.stack([np.zeros(60), vector, RNG.standard_normal(60)], 1))
    found = conjugate_gradients(saved(tmp_path, k), y, 1e-3, tolerance=1e-11)
    assert_allclose(found.alpha, solved(k, y, 1e-3), rtol=1e-7, atol=1e-9)
    alone = conjugate_gradients(aslinearoperator(k), y[:, 1:2], 1e-3, tolerance=1e-11)
    assert alone.steps <= 3


def test_all_landmarks_give_the_inverse() -> None:
    """C W^-1 C^T is then K itself, up to the shift of W; P^-1 the inverse, up to a factor."""
    k, ridge = kernel(40, 0.8), 0.1
    p = nystrom_preconditioner(torch.from_numpy(k), range(40), ridge) @ np.eye(40)
    exact = np.linalg.inv(k + ridge * np.eye(40))
    smallest = np.linalg.eigvalsh(k)[0]
    assert_allclose(p, (smallest + ridge) * exact, rtol=1e-4, atol=1e-5)


def test_equal_landmarks_and_bad_ones() -> None:
    z = RNG.standard_normal((30, 5))
    z[1] = z[0]
    k = torch.from_numpy(z @ z.T)
    p = nystrom_preconditioner(k[:, :8], range(8), 0.1) @ np.eye(30)
    assert np.linalg.eigvalsh((p + p.T) / 2).min() > 0
    for columns, landmarks, ridge, message in [
        (k[:, :2], [0, 1], 0.0, "ridge above 0"),
        (k[:, :2], [0], 0.1, "a column for each landmark"),
        (k[:, :2], [0, 0], 0.1, "each once"),
        (-k[:, :2], [0, 1], 0.1, "negative eigenvalue"),
    ]:
        with pytest.raises(ValueError, match=message):
            nystrom_preconditioner(columns, landmarks, ridge)
    with pytest.raises(ValueError, match="expected a preconditioner of shape"):
        conjugate_gradients(
            aslinearoperator(np.eye(4)),
            torch.ones(4, 1),
            0.1,
            preconditioner=aslinearoperator(np.eye(3)),
        )
