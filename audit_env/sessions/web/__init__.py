"""The app in browsers: one address for each seat."""
