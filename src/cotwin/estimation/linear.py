"""The linearised problem of one iteration: small, dense, for many sets at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

LARGEST_MOVE = 2.0  # of a raw number at once: a factor e² of what is learned through its logarithm
CHANCE = 4.0  # standard deviations within which chance alone leaves each of some hundred numbers


@dataclass(frozen=True)
class Linearised:
    """r(z + s) ≈ r + J s for P sets, z = (raw, ε); r has three parts, the misfit, the prior's and ε itself.

    misfit: (prediction − value)/σ, of M values. prior: R residuals of the parameters' priors. white: ε, B starts of
        n numbers each, n = 0 where the starts are known.
    by_raw, prior_by_raw: Jacobians to the N raw parameters. by_white: of the misfit to ε, each value to the start of
        its own trajectory alone; no other has a part in it.
    trajectory: which start a value belongs to.
    height, tilt: of what is added to the cost ½ ‖r‖², its value and its derivative to the raw parameters.
    """

    misfit: Float[Tensor, "P M"]
    prior: Float[Tensor, "P R"]
    white: Float[Tensor, "P B n"]
    by_raw: Float[Tensor, "P M N"]
    prior_by_raw: Float[Tensor, "P R N"]
    by_white: Float[Tensor, "P M n"]
    height: Float[Tensor, " P"]
    tilt: Float[Tensor, "P N"]
    trajectory: Int[Tensor, " M"]

    def __getitem__(self, sets: Tensor) -> Linearised:
        """Some of the sets."""
        kept = {name: value[sets] for name, value in vars(self).items() if name != "trajectory"}
        return Linearised(**kept, trajectory=self.trajectory)

    def replaced(self, sets: Bool[Tensor, " P"], others: Linearised) -> Linearised:
        """Those sets of the others, the rest as they are; the others are as many as the sets, or as all."""
        parts = {}
        for name, value in vars(self).items():
            if name != "trajectory":
                other = getattr(others, name)
                parts[name] = value.index_put((sets,), other if len(other) != len(sets) else other[sets])
        return Linearised(**parts, trajectory=self.trajectory)

    @property
    def finite(self) -> Bool[Tensor, " P"]:
        """Sets whose residuals and Jacobians are numbers."""
        parts = (self.misfit, self.by_raw, self.by_white, self.prior, self.prior_by_raw)
        return torch.stack([part.flatten(1).isfinite().all(dim=1) for part in parts]).all(dim=0)

    def fixed(self, free: Bool[Tensor, "P N"]) -> Linearised:
        """The same with some raw parameters held: no residual depends on them."""
        moving = free[:, None].to(self.by_raw)
        held = {"by_raw": self.by_raw * moving, "prior_by_raw": self.prior_by_raw * moving, "tilt": self.tilt * free}
        return Linearised(**(vars(self) | held))

    @property
    def cost(self) -> Float[Tensor, " P"]:
        """½ ‖r‖², and what is added."""
        return half_square(self.misfit, self.prior, self.white) + self.height

    def slope_within(self, rounding: Float[Tensor, "P M"]) -> Bool[Tensor, " P"]:
        """Whether no part of Jᵀr is more than entries of J that are wrong by so much, each by chance, make of r."""
        raw = self._slope()
        white = self.white.index_add(1, self.trajectory, self.by_white * self.misfit[..., None])
        wrong = (rounding * self.misfit).square()
        own = wrong.new_zeros(self.white.shape[:2]).index_add(1, self.trajectory, wrong)
        flat = (raw.abs() <= CHANCE * wrong.sum(dim=1, keepdim=True).sqrt()).all(dim=1)
        return flat & (white.abs() <= CHANCE * own.sqrt()[..., None]).flatten(1).all(dim=1)

    def cost_after(self, step: Float[Tensor, "P Z"]) -> Float[Tensor, " P"]:
        """½ ‖r + J s‖², and what is added."""
        raw, white = self._parts(step)
        prior = self.prior + torch.einsum("prn,pn->pr", self.prior_by_raw, raw)
        return half_square(self._misfit_after(raw, white), prior, self.white + white) + self._height_after(raw)

    def with_rows(self, changed: Callable[[Float[Tensor, "*K M"]], Float[Tensor, "*K M"]]) -> Linearised:
        """The same with misfit and Jacobians changed along the values."""
        by_raw, by_white = (changed(one.mT.contiguous()).mT for one in (self.by_raw, self.by_white))
        return Linearised(**(vars(self) | {"misfit": changed(self.misfit), "by_raw": by_raw, "by_white": by_white}))

    def misfit_after(self, step: Float[Tensor, "P Z"]) -> Float[Tensor, "P M"]:
        """r + J s of the values."""
        return self._misfit_after(*self._parts(step))

    def moved(
        self,
        step: Float[Tensor, "P Z"],
        misfit: Float[Tensor, "P M"],
        prior: Float[Tensor, "P R"],
        prior_by_raw: Float[Tensor, "P R N"],
        height: Float[Tensor, " P"],
        tilt: Float[Tensor, "P N"],
    ) -> Linearised:
        """About z + s, where all but the values' J is known: it changes by the least that makes it agree with theirs.

        Each row changes only where it may be other than zero.
        Source: Broyden (1965), Math. Comp. 19; Schubert (1970), Math. Comp. 24 for the rows.
        """
        raw, white = self._parts(step)
        own = white[:, self.trajectory]
        length = raw.square().sum(dim=1)[:, None] + own.square().sum(dim=2)
        missed = (misfit - self._misfit_after(raw, white)) / length.clamp(min=torch.finfo(length.dtype).tiny)
        return Linearised(
            misfit=misfit,
            prior=prior,
            white=self.white + white,
            by_raw=self.by_raw + missed[..., None] * raw[:, None],
            prior_by_raw=prior_by_raw,
            by_white=self.by_white + missed[..., None] * own,
            height=height,
            tilt=tilt,
            trajectory=self.trajectory,
        )

    def _parts(self, step: Float[Tensor, "P Z"]) -> tuple[Float[Tensor, "P N"], Float[Tensor, "P B n"]]:
        raw, white = step.split([self.by_raw.shape[2], step.shape[1] - self.by_raw.shape[2]], dim=1)
        return raw, white.view(len(step), *self.white.shape[1:])

    def _misfit_after(self, raw: Float[Tensor, "P N"], white: Float[Tensor, "P B n"]) -> Float[Tensor, "P M"]:
        by_starts = (self.by_white * white[:, self.trajectory]).sum(dim=2)
        return self.misfit + torch.einsum("pmn,pn->pm", self.by_raw, raw) + by_starts

    def _height_after(self, raw: Float[Tensor, "P N"]) -> Float[Tensor, " P"]:
        return self.height + (self.tilt * raw).sum(dim=1)

    def _slope(self) -> Float[Tensor, "P N"]:
        """Of the cost to the raw parameters, the starts held."""
        return _apply(self.by_raw, self.misfit) + _apply(self.prior_by_raw, self.prior) + self.tilt

    def solve(self, damping: Float[Tensor, " P"]) -> Float[Tensor, "P Z"]:
        """The step s of (JᵀJ + damping · diag JᵀJ) s = −(Jᵀ r + tilt).

        The starts are eliminated one by one, which leaves a system of N numbers.
        Source: Marquardt (1963), J. SIAM 11; Golub & Pereyra (1973), SIAM J. Numer. Anal. 10 for the elimination.
        """
        normal = self.by_raw.mT @ self.by_raw + self.prior_by_raw.mT @ self.prior_by_raw
        slope = self._slope()
        matrix = _damped(normal, damping)
        starts = [self._start(index, damping) for index in self._starts()]
        for solved, slope_solved, mixed in starts:
            matrix = matrix - mixed.mT @ solved
            slope = slope - _apply(mixed, slope_solved)
        raw = -solve_symmetric(matrix, slope)
        whites = [-(slope_solved + (solved @ raw[..., None])[..., 0]) for solved, slope_solved, _ in starts]
        return torch.cat([raw, *whites], dim=1)

    def _start(self, index: int, damping: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """H⁻¹ C, H⁻¹ g and C of one start: H = JᵀJ + 1, damped, g its slope, C what it shares with the parameters."""
        rows = self.trajectory == index
        factor, own = self._factor(index, damping)
        mixed = own.mT @ self.by_raw[:, rows]
        slope = _apply(own, self.misfit[:, rows]) + self.white[:, index]
        solved = torch.cholesky_solve(torch.cat([mixed, slope[..., None]], dim=2), factor)
        return solved[..., :-1], solved[..., -1], mixed

    def _factor(self, index: int, damping: Tensor) -> tuple[Tensor, Tensor]:
        """Cholesky's factor of H of one start, and its J."""
        own = self.by_white[:, self.trajectory == index]
        identity = torch.eye(own.shape[2], dtype=own.dtype, device=own.device)
        return torch.linalg.cholesky(_damped(own.mT @ own + identity, damping)), own

    def unwhitening(self) -> Callable[[Float[Tensor, " Z"]], Float[Tensor, " Z"]]:
        """w ↦ L⁻ᵀ w, L Lᵀ = JᵀJ of the only set: steps whose linear cost is as round as w, differentiably.

        As if raw numbers were known to `LARGEST_MOVE`: a w of one takes none much farther, little as depends on it.
        """
        still = torch.zeros(1, dtype=self.misfit.dtype, device=self.misfit.device)
        matrix = self.by_raw[0].mT @ self.by_raw[0] + self.prior_by_raw[0].mT @ self.prior_by_raw[0]
        parts = list[tuple[Tensor, Tensor]]()
        for index in self._starts():
            factor, own = self._factor(index, still)
            mixed = own.mT @ self.by_raw[:, self.trajectory == index]
            half = torch.linalg.solve_triangular(factor, mixed, upper=False)[0]
            matrix = matrix - half.mT @ half
            parts.append((factor[0].mT, half))
        root = _inverse_root(matrix + torch.eye(len(matrix)).to(matrix) / LARGEST_MOVE**2)

        def step(w: Float[Tensor, " Z"]) -> Float[Tensor, " Z"]:
            raw, *whites = w.split([len(root), *[self.white.shape[2]] * len(parts)])
            raw = root @ raw
            moved = [
                torch.linalg.solve_triangular(factor, (white - half @ raw)[:, None], upper=True)[:, 0]
                for (factor, half), white in zip(parts, whites, strict=True)
            ]
            return torch.cat([raw, *moved])

        return step

    def half_log_determinant(self) -> Float[Tensor, " P"]:
        """½ Σ log det (JᵀJ + 1), over the starts."""
        total = self.misfit.new_zeros(len(self.misfit))
        for index in self._starts():
            factor, _ = self._factor(index, torch.zeros_like(total))
            total = total + factor.diagonal(dim1=1, dim2=2).log().sum(dim=1)
        return total

    def about_start(self, index: int) -> tuple[Float[Tensor, "n n"], Float[Tensor, " n"]]:
        """JᵀJ and Jᵀ(J ε − r) of one start of the only set: what its values say of it, its prior left out."""
        rows = self.trajectory == index
        own = self.by_white[0, rows]
        return own.mT @ own, own.mT @ (own @ self.white[0, index] - self.misfit[0, rows])

    def pull(self) -> Float[Tensor, "P M n"]:
        """J (JᵀJ + 1)⁻¹ of each start, row by row: by how much a value's misfit pulls the start."""
        pulled = torch.zeros_like(self.by_white)
        for index in self._starts():
            factor, own = self._factor(index, torch.zeros_like(self.cost))
            pulled[:, self.trajectory == index] = torch.cholesky_solve(own.mT, factor).mT
        return pulled

    def jacobian(self) -> Float[Tensor, "P Q N"]:
        """To the parameters, misfit and prior, once the starts are eliminated: JᵀJ is the information on them.

        Of each trajectory's rows (by_raw; 0) what its start could explain is taken out, by the QR decomposition of
        (by_white; 1).
        """
        rows = [self._explained(index)[1] for index in self._starts()]
        return torch.cat([*rows, self.prior_by_raw] if rows else [self.by_raw, self.prior_by_raw], dim=1)

    def leverage(self) -> Float[Tensor, "P M"]:
        """How much of each value its own prediction takes up, the diagonal of J (JᵀJ)⁻¹ Jᵀ: 0 none, 1 all of it."""
        return self.fitted().square().sum(dim=2)

    def fitted(self) -> Float[Tensor, "P M K"]:
        """What predictions take up: F Fᵀ = J (JᵀJ)⁻¹ Jᵀ for each trajectory's values, the starts' columns together.

        K = N + n. The first N columns are of the parameters.
        """
        q: Tensor = torch.linalg.qr(self.jacobian())[0]
        return torch.cat([self._of_values(q), self._starts_taken()], dim=2)

    def by_raw_alone(self) -> Float[Tensor, "P M N"]:
        """The rows of `jacobian` that are of values, in their order."""
        return self._of_values(self.jacobian())

    def _of_values(self, rows: Float[Tensor, "P Q N"]) -> Float[Tensor, "P M N"]:
        if not self._starts():
            return rows[:, : self.misfit.shape[1]]
        ordered, first = torch.empty_like(self.by_raw), 0
        for index in self._starts():
            own = self.trajectory == index
            count = int(own.sum())
            ordered[:, own] = rows[:, first : first + count]
            first += count + self.white.shape[2]
        return ordered

    def _starts_taken(self) -> Float[Tensor, "P M n"]:
        taken = torch.empty_like(self.by_white)
        for index in self._starts():
            own = self.trajectory == index
            taken[:, own] = self._explained(index)[0][:, : int(own.sum())]
        return taken

    def following(self, raw: Float[Tensor, "K N"]) -> Float[Tensor, "K Z"]:
        """Steps of the raw parameters of the only set, with the starts giving way as they best do."""
        still = torch.zeros(1, dtype=raw.dtype, device=raw.device)
        solved = [self._start(index, still)[0] for index in self._starts()]
        return torch.cat([raw, *(-raw @ one[0].mT for one in solved)], dim=1)

    def scattered(self, white: Float[Tensor, "K B n"]) -> Float[Tensor, "K B n"]:
        """White noise as the starts of the only set scatter, the parameters held: with covariance (JᵀJ + 1)⁻¹."""
        still = torch.zeros(1, dtype=white.dtype, device=white.device)
        drawn = [white[:, index] @ torch.linalg.inv(self._factor(index, still)[0][0]) for index in self._starts()]
        return torch.stack(drawn, dim=1) if drawn else white

    def by_trajectory(self, count: int) -> tuple[Float[Tensor, "B N N"], Float[Tensor, "B N"]]:
        """JᵀJ and Jᵀr of each trajectory by itself, of the only set, its start eliminated and priors left out."""
        normals, slopes = [], []
        for index in range(count):
            if self.white.shape[2]:
                q, jacobian = (part[0] for part in self._explained(index))
                residual = torch.cat([self.misfit[0, self.trajectory == index], self.white[0, index]])
                residual = residual - q @ (q.mT @ residual)
            else:
                rows = self.trajectory == index
                jacobian, residual = self.by_raw[0, rows], self.misfit[0, rows]
            normals.append(jacobian.mT @ jacobian)
            slopes.append(jacobian.mT @ residual)
        return torch.stack(normals), torch.stack(slopes)

    def _starts(self) -> range:
        return range(self.white.shape[1] if self.white.shape[2] else 0)

    def _explained(self, index: int) -> tuple[Tensor, Tensor]:
        """Q of a trajectory's (by_white; 1), and what Q leaves of its (by_raw; 0)."""
        rows = self.trajectory == index
        own = self.by_white[:, rows]
        identity = torch.eye(own.shape[2], dtype=own.dtype, device=own.device).expand(len(own), -1, -1)
        q, _ = torch.linalg.qr(torch.cat([own, identity], dim=1))
        padded = torch.nn.functional.pad(self.by_raw[:, rows], (0, 0, 0, own.shape[2]))
        return q, padded - q @ (q.mT @ padded)


def half_square(*parts: Tensor) -> Float[Tensor, " P"]:
    """½ ‖·‖² of residuals in parts, for each set."""
    return 0.5 * torch.cat([part.flatten(1) for part in parts], dim=1).square().sum(dim=1)


def _apply(jacobian: Tensor, residual: Tensor) -> Tensor:
    """Jᵀ r."""
    return torch.einsum("pmn,pm->pn", jacobian, residual)


def _damped(normal: Tensor, damping: Tensor) -> Tensor:
    """JᵀJ + damping · diag JᵀJ; a number that nothing depends on gets one on the diagonal, and so does not move."""
    diagonal = normal.diagonal(dim1=1, dim2=2)
    added = torch.where(diagonal > 0, damping[:, None] * diagonal, torch.ones_like(diagonal))
    return normal + torch.diag_embed(added)


def solve_symmetric(matrix: Tensor, right: Tensor) -> Tensor:
    """By eigenvalues, after scaling to a unit diagonal: what is singular to rounding is left where it is."""
    scale = matrix.diagonal(dim1=1, dim2=2).clamp(min=torch.finfo(matrix.dtype).tiny).rsqrt()
    values, vectors = torch.linalg.eigh(matrix * scale[:, :, None] * scale[:, None, :])
    least = values.shape[1] * torch.finfo(matrix.dtype).eps * values[:, -1:]
    inverse = torch.where(values > least, 1 / values, 0.0)
    return scale * torch.einsum("pij,pj,pkj,pk->pi", vectors, inverse, vectors, scale * right)


def _inverse_root(matrix: Float[Tensor, "N N"]) -> Float[Tensor, "N N"]:
    """R, R Rᵀ = matrix⁻¹, by eigenvalues, after scaling to a unit diagonal; of what is singular to rounding, 1."""
    scale = matrix.diagonal().rsqrt()
    values, vectors = torch.linalg.eigh(matrix * scale[:, None] * scale)
    least = len(values) * torch.finfo(matrix.dtype).eps * values[-1:]
    root: Tensor = scale[:, None] * vectors * torch.where(values > least, values, 1.0).rsqrt()
    return root
