"""The order sets of ARO (arXiv 2210.01936): captions cleaned, tagged and shuffled in four ways."""
