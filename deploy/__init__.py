"""Two data centres from one inventory: what is built for them, how machines are set up, the chart of the services."""
