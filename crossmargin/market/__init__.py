"""The public data of a market: instruments, prices, history, scenarios, and the values that follow from them."""
