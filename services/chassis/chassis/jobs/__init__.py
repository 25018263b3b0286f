"""Jobs as every service sees them: their rows in the database and their public view."""
