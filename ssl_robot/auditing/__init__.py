"""What an audit is made of: recipes to compare, questions to ask, verdicts to draw, and a recipe to recommend."""
