"""Pictures in the display protocol of scikit-learn; matplotlib is imported when one is drawn."""
