"""Step 5: the results for people and spreadsheets: report.html, report.md, results.csv."""
