"""tunesmith: should I prompt, retrieve or fine-tune? A measured answer, the tuned model, and the proof."""
