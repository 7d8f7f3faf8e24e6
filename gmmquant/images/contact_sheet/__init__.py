"""Contact sheets: images side by side with captions and palettes, as PNG, WebP, SVG or PDF."""
