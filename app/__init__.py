"""The application: yours to edit."""
