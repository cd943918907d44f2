#!/usr/bin/env bash
# statsmodels 0.15.0 (PyPI), a binomial GLM of counts with estimated dispersion ("quasi-binomial", overdispersed counts).
#
# The same data can be given as two columns (successes, failures) or as shares with the trials as var_weights. Estimates are
# the same either way, and so is Pearson's chi-square of the results. With scale="X2" the dispersion should be that
# chi-square / residual degrees of freedom in both. For two columns it leaves out the number of trials: here it is 0.03
# instead of 5.7, so that standard errors are 13 times too small and every p is next to zero - and nothing is said.
# var_weights give what the formula (McCullagh and Nelder 1989, section 4.5) and a count by hand give.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check statsmodels==0.15.0
"$folder/venv/bin/python" - <<'PY'
import numpy as np
import statsmodels
import statsmodels.api as sm

print("statsmodels", statsmodels.__version__)
rng = np.random.default_rng(1)
trials = rng.integers(50, 400, 20)
x = np.tile([0.0, 1.0], 10)
hits = rng.binomial(trials, 1 / (1 + np.exp(-(-1 + 0.5 * x + rng.normal(0, 0.4, 20)))))
design = sm.add_constant(x)
binomial = sm.families.Binomial()
columns = sm.GLM(np.column_stack([hits, trials - hits]), design, family=binomial).fit(scale="X2")
weights = sm.GLM(hits / trials, design, family=binomial, var_weights=trials).fit(scale="X2")
mu = weights.mu
by_hand = np.sum(trials * (hits / trials - mu) ** 2 / (mu * (1 - mu))) / (20 - 2)
for name, fit in (("two columns", columns), ("var_weights", weights)):
    print(f"{name}: estimate {fit.params[1]:.4f}, chi-square / df {fit.pearson_chi2 / fit.df_resid:.3f}, "
          f"scale {fit.scale:.3f}, standard error {fit.bse[1]:.4f}")
print(f"by hand: {by_hand:.3f}")
assert np.allclose(columns.params, weights.params) and np.isclose(columns.pearson_chi2, weights.pearson_chi2)
assert np.isclose(weights.scale, by_hand)
assert columns.scale < 0.01 * by_hand, "no longer so"
print("seen: the dispersion of two columns leaves out the number of trials")
PY
