"""Training of the embedded networks: data, augmentation, losses, the loop and the export."""
