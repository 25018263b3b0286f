"""Generated parts of the documents: the tables of the API and of the settings, taken from the code."""
