"""From columns to a bundle, in pure steps: features → train → validate → package."""
