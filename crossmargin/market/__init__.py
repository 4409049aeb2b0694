"""What is public about a market: instruments, prices, history, scenarios, and the values that follow from them."""
