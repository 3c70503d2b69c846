"""Study ``initial-values``: what ElasticDL issue 179 found about networks trained from different initial values."""
