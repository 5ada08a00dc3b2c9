"""The page of a report: what is drawn of each track, the data of all tracks, and the file that shows them."""
