"""Weights under caps and turnover costs; gate P."""
