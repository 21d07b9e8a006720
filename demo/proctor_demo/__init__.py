"""Small, real systems to try proctor with: a scripted model, a CRM, payments."""
