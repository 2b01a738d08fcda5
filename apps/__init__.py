"""Estimators for a scikit-learn user, each a short composition of engine reductions."""
